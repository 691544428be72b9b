package host

// doer is a Step as this kernel does it. Every step is one.
type doer interface {
	Step
	// do brings the step about. made is false where it was so before.
	do(k *kernel) (made bool, err error)
	// undo takes the step back, and succeeds where there is nothing to take.
	undo(k *kernel) error
}

var _ = []doer{Netns{}, Sysctl{}, LinkUp{}, Bridge{}, Veth{}, Address{}, Route{}, File{}, Firewall{}, PortGuard{},
	ReceiverGuard{}, VXLAN{}, Peer{}}
