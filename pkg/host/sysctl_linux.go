package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func (c Sysctl) do(k *kernel) (bool, error) {
	// The kernel chooses the parameters of whoever opens the file.
	if err := k.enter(c.Namespace); err != nil {
		return false, err
	}
	for _, setting := range strings.Fields(c.Settings) {
		key, value, _ := strings.Cut(setting, "=")
		err := setSysctl(key, value)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// undo leaves the parameters as they are: they go with their namespace.
func (c Sysctl) undo(*kernel) error { return nil }

// setSysctl writes a parameter. Where it cannot, as in a container with a
// read-only /proc/sys, it is enough that the parameter has the value already.
// It is not enough elsewhere: the kernel hands what is written to conf.all on
// to the devices, whatever conf.all had before.
func setSysctl(key, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	err := writeSysctl(path, value)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if has, readErr := os.ReadFile(path); readErr == nil && strings.TrimSpace(string(has)) == value {
		return nil
	}
	err = fmt.Errorf("set %s to %s: %w", key, value, err)
	if errors.Is(err, unix.EROFS) {
		return &Denied{err,
			"containers have /proc/sys read-only: start it with docker run --security-opt systempaths=unconfined, " +
				"or make it writable with mount -o remount,rw /proc/sys"}
	}
	return err
}

func writeSysctl(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
