package host

import (
	"fmt"
	"strings"
)

// File is the step that writes a file which programs in a namespace see in
// /etc. It is overwritten in place, so that programs which run see the change.
type File struct {
	Namespace string
	Name      string // resolv.conf, hosts or nsswitch.conf
	Content   string
}

// String writes to /etc/netns, where "ip netns exec" looks for such files.
func (f File) String() string {
	dir := "/etc/netns/" + f.Namespace
	return lines(
		"mkdir -p "+dir,
		fmt.Sprintf("cat >%s/%s <<'EOF'", dir, f.Name),
		strings.TrimSuffix(f.Content, "\n"),
		"EOF",
	)
}

func (f File) replaces() string { return "file " + f.Namespace + "/" + f.Name }
