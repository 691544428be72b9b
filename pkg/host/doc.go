// Package host makes the Linux side of a lab: network namespaces, bridges,
// veth pairs, addresses, routes and nftables, and takes them away again.
//
// # What a lab is
//
// A lab is a directory, by default below /run/plinksim, and everything it owns
// hangs from there: DIR/netns/NAME pins the network namespace NAME, and
// DIR/etc/NAME holds the resolv.conf, hosts and nsswitch.conf that programs in
// that namespace see. Nothing is ever created in the namespace that the caller
// is in: no interface, no bridge, no route, no table. (The VXLAN devices of a slice
// of a topology over several hosts are in the lab too, but their UDP socket is where
// the caller is.) So a lab cannot disturb
// its host or another lab, and when its namespaces go, everything goes. That
// is why Remove needs no plan, no list and no memory of what was built, and
// why it works after any crash.
//
// A VPC is a namespace with a bridge for each subnet, and routes between them.
// An instance is a namespace with a veth pair into its subnet's bridge. An ENI
// is a veth pair too, from the subnet's bridge to the lab's data plane
// namespace, which holds nothing else and has no addresses: the frames that
// arrive there belong to whoever reads them from a packet socket.
//
// # How to build one
//
// The kernel state is a list of steps, made from the plan alone:
//
//	for _, step := range host.Steps(plan) {
//		fmt.Println(step) // ip, nft and sysctl commands
//	}
//	err := host.Build(ctx, dir, plan, nil)
//	err = host.Change(ctx, dir, plan, changed, nil)
//	err = host.Remove(ctx, dir)
//
// Every step succeeds where what it asks for is already so. Build on a lab
// that is up repairs it, and Remove on a lab that is gone does nothing. Build
// and Change undo their work when they fail or when ctx ends. Two calls for
// the same directory at the same time are the caller's to prevent.
//
// # How to be inside
//
// A network namespace belongs to a thread, and Go moves goroutines between
// threads. net/http dials on goroutines of its own, a dialer with two
// addresses races them on two, and the resolver asks on others still: called
// in a locked thread that has entered a namespace, all of them use the
// namespace of the process. So do not enter a namespace to use these packages.
// Take a socket from the namespace instead; a socket stays where it was made:
//
//	ns, err := host.Open(dir, "vpc1.ecs1")
//	defer ns.Close()
//	client := &http.Client{Transport: &http.Transport{DialContext: ns.DialContext}}
//	listener, err := ns.Listen(ctx, "tcp", ":80")
//
// The dialer takes addresses alone: dns.Resolver finds those of a name.
// Namespace.Do is for what makes its sockets in the goroutine that calls it,
// for example a packet socket or a netlink handle. Exec is for programs: it gives
// them the namespace and its files, and replaces the calling process.
package host
