// Package rootless gives an ordinary user what a lab needs of root: a user
// namespace in which the user is root, and a mount namespace that belongs to it
// (Linux, user_namespaces(7)). Network namespaces that are made there are the
// user's, too. Outside of them the user may do what he may do anyway.
//
// The namespaces live as long as a process that is in them, or that holds a
// file of /proc/PID/ns. Start begins a process in new ones, Join leads into those
// of a process.
//
// Files that are made there belong to the user outside. Where the programs
// newuidmap and newgidmap are there and the user has numbers of users in
// /etc/subuid and /etc/subgid, the namespace has other users beside root, and
// programs can become them; otherwise it has root alone.
package rootless
