package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

func (f File) do(k *kernel) (bool, error) {
	path := filepath.Join(etcDir(k.dir, f.Namespace), f.Name)
	if old, err := os.ReadFile(path); err == nil && string(old) == f.Content {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	return true, os.WriteFile(path, []byte(f.Content), 0o644)
}

func (f File) undo(k *kernel) error {
	dir := etcDir(k.dir, f.Namespace)
	if err := os.Remove(filepath.Join(dir, f.Name)); err != nil {
		return ignoreGone(err)
	}
	// The last file takes the directory with it.
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		return err
	}
	return errors.Join(os.Remove(dir))
}
