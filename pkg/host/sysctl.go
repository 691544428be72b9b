package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sysctl is the step that sets kernel parameters of a namespace. A parameter
// that the kernel does not have is left out: a kernel without IPv6 has nothing
// to switch off.
type Sysctl struct {
	Namespace string
	Settings  string // KEY=VALUE, separated by spaces, in the order of writing
}

func (c Sysctl) String() string {
	return fmt.Sprintf("ip netns exec %s sysctl -q -e -w %s", c.Namespace, c.Settings)
}

func (c Sysctl) replaces() string { return "sysctl " + c.Namespace }

func (c Sysctl) do(k *kernel) (bool, error) {
	// The kernel chooses the parameters of whoever opens the file.
	if err := k.enter(c.Namespace); err != nil {
		return false, err
	}
	for _, setting := range strings.Fields(c.Settings) {
		key, value, _ := strings.Cut(setting, "=")
		err := writeSysctl(key, value)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// undo leaves the parameters as they are: they go with their namespace.
func (c Sysctl) undo(*kernel) error { return nil }

func writeSysctl(key, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
