package host

// Netns is the step that makes a network namespace.
type Netns struct {
	Name string
}

func (n Netns) String() string { return "ip netns add " + n.Name }

func (n Netns) replaces() string { return "" }
