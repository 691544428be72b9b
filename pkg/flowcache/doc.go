// Package flowcache keeps flows of established sessions in the kernel, so that
// their packets need not come to userspace: eBPF programs translate them where they
// arrive, at the ENIs' devices in the data plane's namespace.
//
// The session table owns the sessions, and the cache may vanish at any moment:
// nothing but speed changes. Four things make that so.
//
//   - There are two programs, and one ruling. The data plane's packet socket sees
//     each frame first. Its filter says whether the cache takes the frame, and
//     leaves that for the classifier behind it (tcx, or clsact where the kernel
//     has no tcx), which forwards the frame or lets it be. So each frame is taken
//     once, whatever changes between the two.
//   - Flows are slots of memory that the table and the programs share: package
//     slot. What the table wants to know of a flow (when did the last packet
//     come, with which numbers, how many) is a read of memory.
//   - Each link of the table has a gate: a generation, which a slot must have to
//     be used. When something about the link changes, the table adds one, and
//     from the next packet on all of its flows go through userspace.
//   - The programs forward what is ordinary. Everything else is the table's: SYN,
//     FIN, RST, other options than timestamps and SACK, numbers out of the window,
//     fragments, what is too long, late, broken or for another MAC. A slot counts
//     what of its flow went to the table, and is not used before the table has
//     said that it has sent all of that: packets do not overtake each other.
//
// A [Cache] belongs to one data plane, and a [Worker] of it to one session table.
package flowcache
