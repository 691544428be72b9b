//go:build ignore

// The kernel's half of plinksim's flow cache: packets of established sessions are
// translated where they arrive. doc.go says how it works together with the
// session table, ../../docs/flow-cache.md what it does for users.
//
// "make bpf" compiles it; the object files are committed.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Where things are in a frame with an IPv4 header without options.
#define IP_AT 14
#define L4_AT 34
#define TCP_SUM_AT (L4_AT + 16)
#define UDP_SUM_AT (L4_AT + 6)

// How TCP flags are written; the first three may change a session's state.
#define FIN_SYN_RST 0x07

// key finds a flow: the five-tuple as it arrives, in network order, and where.
struct key {
	__u32 src, dst;
	__u16 sport, dport;
	__u32 device; // interface index, and the protocol in the low byte
};

// slot is slot.Slot: see there.
struct slot {
	__u32 src, dst;
	__u16 sport, dport;
	__u32 addrs, ports;
	__u16 header, mtu;
	__u16 gate;
	__u8 reach, offer;
	__u32 generation, handled, idle, device;
	__u8 macs[12];
	__u8 arrives[6];
	__u8 scale, peer;

	__u32 missed, last, next, ack, lately, unused;
	__u64 frames, bytes, superframes, segments;
	__u64 unused2;
};
_Static_assert(sizeof(struct slot) == 128, "slot");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct key);
	__type(value, __u32);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

// gates are generations, one for each link of a session table.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} gates SEC(".maps");

// ruled is what the filter said of the packet that the classifier sees next on
// this CPU: both run one after the other in one softirq. A packet must be either
// in the ring or redirected, so the classifier does what the filter said, whatever
// has changed since.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} ruled SEC(".maps");

// PEERS says whether the kernel has bpf_redirect_peer.
volatile const __u32 PEERS = 1;

// A ruling. With MISS and HIT comes the number of a slot, above RULING_BITS.
enum ruling { NOTHING, UNKNOWN, MISS, HIT };
#define RULING_BITS 2

#define always_inline static __always_inline

// head is the part of a frame that is looked at first.
struct head {
	__u8 dst[6], src[6];
	__u16 type;
	__u8 verihl, tos;
	__u16 length, id, fragment;
	__u8 ttl, protocol;
	__u16 sum;
	__u16 addrs[4];
	__u16 sport, dport;
} __attribute__((packed));
_Static_assert(sizeof(struct head) == 38, "head");

// tcp is what follows the ports.
struct tcp {
	__u32 seq, ack;
	__u8 offset, flags;
	__u16 window, sum, urgent;
} __attribute__((packed));

always_inline __u32 now_ms(void) { return bpf_ktime_get_coarse_ns() / 1000000; }

// same_mac compares without a loop.
always_inline int same_mac(const __u8 *a, const __u8 *b) {
	return *(const __u16 *)a == *(const __u16 *)b && *(const __u16 *)(a + 2) == *(const __u16 *)(b + 2) &&
	       *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

// intact says whether the header's checksum is right (RFC 1071).
always_inline int intact(const struct head *h) {
	const __u16 *w = (const __u16 *)&h->verihl;
	__u32 sum = 0;
	for (int i = 0; i < 10; i++) sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

// ordinary_options says whether there are no others than timestamps (RFC 7323,
// appendix A) and SACK (RFC 2018, 3), or SACK alone. count is their length.
always_inline int ordinary_options(struct __sk_buff *skb, __u32 count) {
	struct {
		__u8 first[4], stamps[8], sack[4];
	} o = {};
	if (count == 0) return 1;
	if (count < 12 || bpf_skb_load_bytes(skb, L4_AT + 20, &o, 12)) return 0;
	if (o.first[0] != 1 || o.first[1] != 1) return 0;
	if (o.first[2] == 5) return o.first[3] == count - 2;
	if (o.first[2] != 8 || o.first[3] != 10) return 0;
	if (count == 12) return 1;
	if (count < 24 || bpf_skb_load_bytes(skb, L4_AT + 32, &o.sack, 4)) return 0;
	return o.sack[0] == 1 && o.sack[1] == 1 && o.sack[2] == 5 && o.sack[3] == count - 14;
}

// expected says whether the numbers of a segment are those of the session table's
// store.Flow.Expects. Without a table nobody learns that a window has grown, so it
// may be as large as one can be (2^30, RFC 7323, 2.3).
always_inline int expected(const struct slot *s, __u32 end, __u32 ack, __u32 window, int alone) {
	__u32 reach = alone ? 30 : s->reach & 31, offer = alone ? 30 : s->offer & 31;
	__u32 ahead = end - s->next + (1u << reach);
	__u32 acked = ack - s->ack + (1u << offer);
	return (ahead >> 1 >> reach | acked >> 1 >> offer | window << (s->scale & 15) >> offer) == 0;
}

// rule says what becomes of a packet, and changes nothing. alone says that no session
// table reads the ring.
always_inline __u64 rule(struct __sk_buff *skb, int alone) {
	struct head h;
	if (skb->vlan_present || bpf_skb_load_bytes(skb, 0, &h, sizeof h)) return UNKNOWN;
	if (h.type != bpf_htons(ETH_P_IP) || h.verihl != 0x45) return UNKNOWN;
	if (h.fragment & bpf_htons(0x3fff)) return UNKNOWN;
	if (h.protocol != IPPROTO_TCP && h.protocol != IPPROTO_UDP) return UNKNOWN;
	struct key k = {.sport = h.sport, .dport = h.dport, .device = skb->ifindex << 8 | h.protocol};
	__builtin_memcpy(&k.src, h.addrs, 8);
	__u32 *at = bpf_map_lookup_elem(&numbers, &k);
	if (!at) return UNKNOWN;
	__u32 number = *at;
	struct slot *s = bpf_map_lookup_elem(&slots, &number);
	if (!s) return UNKNOWN;
	__u64 miss = (__u64)number << RULING_BITS | MISS;

	__u32 gate = s->gate;
	__u64 *generation = bpf_map_lookup_elem(&gates, &gate);
	if (!generation || (__u32)*(volatile __u64 *)generation != s->generation) return miss;
	if (!alone && *(volatile __u32 *)&s->missed != *(volatile __u32 *)&s->handled) return miss;
	// Another CPU may have written a time that is later than now.
	__s32 silence = now_ms() - *(volatile __u32 *)&s->last;
	if (silence > 0 && (__u32)silence >= s->idle) return miss;

	__u32 length = bpf_ntohs(h.length), headers = 20 + 8;
	if (h.fragment != bpf_htons(0x4000) || h.ttl <= 1 || length + IP_AT != skb->len) return miss;
	if (!same_mac(h.dst, s->arrives) || !intact(&h)) return miss;
	if (h.protocol == IPPROTO_TCP) {
		struct tcp t;
		if (bpf_skb_load_bytes(skb, L4_AT + 4, &t, sizeof t) || t.flags & FIN_SYN_RST) return miss;
		__u32 of_tcp = (t.offset >> 4) * 4;
		headers = 20 + of_tcp;
		if (of_tcp < 20 || headers > length || !ordinary_options(skb, of_tcp - 20)) return miss;
		__u32 end = bpf_ntohl(t.seq) + length - headers;
		if (!expected(s, end, bpf_ntohl(t.ack), bpf_ntohs(t.window), alone)) return miss;
	} else {
		struct {
			__u16 length, sum;
		} u;
		if (bpf_skb_load_bytes(skb, L4_AT + 4, &u, sizeof u)) return miss;
		// A sum of 0 is none (RFC 768), or what a device is to begin with.
		if (bpf_ntohs(u.length) + 20 != length || u.sum == 0) return miss;
	}
	__u32 longest = length, size = skb->gso_size;
	if (size && length - headers > size) longest = headers + size;
	if (longest > s->mtu) return miss;
	return (__u64)number << RULING_BITS | HIT;
}

// ring_filter keeps from the ring what the classifier is going to forward.
SEC("socket")
int ring_filter(struct __sk_buff *skb) {
	__u32 zero = 0;
	__u64 *cell = bpf_map_lookup_elem(&ruled, &zero);
	if (!cell) return -1;
	__u64 r = *cell = rule(skb, 0);
	return (r & 3) == HIT ? 0 : -1;
}

// note counts a packet of a slot. The table may read while it does.
always_inline void note(struct __sk_buff *skb, struct slot *s, __u32 length, __u32 payload) {
	__u32 size = skb->gso_size;
	*(volatile __u32 *)&s->last = now_ms();
	__sync_fetch_and_add(&s->frames, 1);
	__sync_fetch_and_add(&s->bytes, length);
	if (size) {
		__sync_fetch_and_add(&s->superframes, 1);
		if (payload > size) __sync_fetch_and_add(&s->segments, (payload + size - 1) / size - 1);
	}
}

always_inline void advance(__u32 *at, __u32 to) {
	if ((__s32)(to - *(volatile __u32 *)at) > 0) *(volatile __u32 *)at = to;
}

// eni_in forwards what the filter kept from the ring, and counts what it did not
// of a flow that has a slot.
SEC("tc")
int eni_in(struct __sk_buff *skb) {
	__u32 zero = 0;
	__u64 *cell = bpf_map_lookup_elem(&ruled, &zero);
	if (!cell) return TC_ACT_UNSPEC;
	__u64 r = *cell;
	*cell = NOTHING;
	// Without a ring there is no session table: what it has not sent on is lost,
	// so nothing can overtake it, and what misses now is for nobody.
	int alone = r == NOTHING;
	if (alone) r = rule(skb, 1);
	if (r == UNKNOWN || (alone && (r & 3) == MISS)) return TC_ACT_UNSPEC;
	__u32 number = r >> RULING_BITS;
	struct slot *s = bpf_map_lookup_elem(&slots, &number);
	if (!s) return TC_ACT_UNSPEC;
	if ((r & 3) == MISS) {
		// The packet is in the ring by now: when the table has seen this
		// count, and then the ring empty, it has had the packet.
		__sync_fetch_and_add(&s->missed, 1);
		return TC_ACT_UNSPEC;
	}

	// Senders with a packet ring leave all but the Ethernet header in pages.
	const __u32 want = L4_AT + 20;
	if ((void *)(long)skb->data + want > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, skb->len < want ? skb->len : want);
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (data + L4_AT + 8 > end) return TC_ACT_SHOT; // no memory for the pull
	struct head *h = data;
	__u8 protocol = h->protocol;
	__u32 length = bpf_ntohs(h->length);
	if (protocol == IPPROTO_TCP) {
		if (data + want > end) return TC_ACT_SHOT;
		struct tcp *t = data + L4_AT + 4;
		__u32 payload = length - 20 - (t->offset >> 4) * 4;
		advance(&s->next, bpf_ntohl(t->seq) + payload);
		advance(&s->ack, bpf_ntohl(t->ack));
		*(volatile __u32 *)&s->lately = *(__u8 *)&t->window;
		note(skb, s, length, payload);
	} else {
		note(skb, s, length, length - 28);
	}

	__builtin_memcpy(h->dst, s->macs, 12);
	h->ttl--;
	__u32 sum = (__u16)~h->sum + s->header;
	sum = (sum & 0xffff) + (sum >> 16);
	h->sum = ~((sum & 0xffff) + (sum >> 16));
	__builtin_memcpy(h->addrs, &s->src, 8);
	__builtin_memcpy(&h->sport, &s->sport, 4);
	// The helpers know which checksums are left to a device, and that those of
	// ports are not in them yet.
	__u32 addrs = s->addrs, ports = s->ports, device = s->device;
	__u8 peer = s->peer;
	if (protocol == IPPROTO_TCP) {
		bpf_l4_csum_replace(skb, TCP_SUM_AT, 0, addrs, BPF_F_PSEUDO_HDR);
		bpf_l4_csum_replace(skb, TCP_SUM_AT, 0, ports, 0);
	} else {
		bpf_l4_csum_replace(skb, UDP_SUM_AT, 0, addrs, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
		bpf_l4_csum_replace(skb, UDP_SUM_AT, 0, ports, BPF_F_MARK_MANGLED_0);
	}
	if (PEERS && peer) {
		// The frame was for the ENI's MAC, which is not the device's own.
		bpf_skb_change_type(skb, 0 /* PACKET_HOST */);
		return bpf_redirect_peer(device, 0);
	}
	return bpf_redirect(device, 0);
}

char _license[] SEC("license") = "Apache-2.0";
