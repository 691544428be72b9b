package labdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultRoot holds a directory for each lab of root. It is on a file system
// that a reboot empties, as a reboot empties the kernel of the lab's namespaces.
const DefaultRoot = "/run/plinksim"

// RootVariable is the environment variable that moves the labs elsewhere.
const RootVariable = "PLINKSIM_STATE_DIR"

// Root is the directory of all labs: $PLINKSIM_STATE_DIR, or DefaultRoot for
// root. An ordinary user's is in $XDG_RUNTIME_DIR (XDG Base Directory
// Specification), or where that would be, or else in the directory of temporary
// files.
func Root() string {
	dir := os.Getenv(RootVariable)
	if dir == "" {
		dir, _ = defaultRoot()
		return dir
	}
	if absolute, err := filepath.Abs(dir); err == nil {
		return absolute
	}
	return dir
}

// Fallback says why the labs of this user are not where they should be; "" where
// they are.
func Fallback() string {
	if os.Getenv(RootVariable) != "" {
		return ""
	}
	_, why := defaultRoot()
	return why
}

func defaultRoot() (dir, why string) {
	uid := os.Geteuid()
	if uid <= 0 { // there is no such number on Windows
		return DefaultRoot, ""
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "plinksim"), ""
	}
	if dir := runtimeDir(strconv.Itoa(uid)); ownedBy(dir, uid) {
		return filepath.Join(dir, "plinksim"), ""
	}
	dir = filepath.Join(os.TempDir(), fmt.Sprintf("plinksim-%d", uid))
	return dir, fmt.Sprintf("XDG_RUNTIME_DIR is not set, so labs are in %s", dir)
}

// runtimeDir is where pam_systemd(8) puts a user's XDG_RUNTIME_DIR.
func runtimeDir(uid string) string { return filepath.Join("/run/user", uid) }

// Names lists the labs that exist, in alphabetical order. Those of another user,
// which this process may not look into, are in the error, a *ForeignError; the
// list has the others. Where this user has no lab, that is also so for those of
// root, and for root for those of the user who has typed sudo.
func Names() ([]string, error) {
	names, err := namesIn(Root())
	if len(names) > 0 || err != nil {
		return names, err
	}
	if foreign := elsewhere(); foreign != nil {
		return nil, foreign
	}
	return nil, nil
}

// Elsewhere is the error that says whose a lab is that this user does not have;
// nil where nobody else is known to have it.
func Elsewhere(name string) error {
	foreign := elsewhere()
	if foreign == nil {
		return nil
	}
	for _, lab := range foreign.Labs {
		if lab == name {
			return &ForeignError{Labs: []string{name}, Owner: foreign.Owner, root: foreign.root}
		}
	}
	return nil
}

// elsewhere are the labs of root, or of the user who has typed sudo. There are
// none where the user has said where labs are.
func elsewhere() *ForeignError {
	root := DefaultRoot
	switch uid := os.Getenv("SUDO_UID"); {
	case os.Getenv(RootVariable) != "":
		return nil
	case os.Geteuid() == 0 && uid == "":
		return nil
	case os.Geteuid() == 0:
		root = filepath.Join(runtimeDir(uid), "plinksim")
	}
	return labsOf(root)
}

func labsOf(root string) *ForeignError {
	names, err := namesIn(root)
	var foreign *ForeignError
	if errors.As(err, &foreign) {
		return foreign
	}
	if len(names) == 0 {
		return nil
	}
	return &ForeignError{Labs: names, Owner: ownerOf(root), root: root}
}

func namesIn(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, &ForeignError{Owner: ownerOf(root), root: root}
	case err != nil:
		return nil, err
	}
	var names []string
	var foreign *ForeignError
	for _, e := range entries { // sorted
		dir := Dir(filepath.Join(root, e.Name()))
		switch _, err := os.Lstat(dir.Path("lock")); {
		case !e.IsDir():
		case errors.Is(err, fs.ErrPermission):
			if foreign == nil {
				foreign = &ForeignError{Owner: ownerOf(string(dir)), root: root}
			}
			foreign.Labs = append(foreign.Labs, e.Name())
		case dir.Exists():
			names = append(names, e.Name())
		}
	}
	if foreign != nil {
		return names, foreign
	}
	return names, nil
}

// ForeignError says that there are labs that belong to another user.
type ForeignError struct {
	Labs  []string // nil where not even their names can be read
	Owner string   // of the first of them

	root string
}

func (e *ForeignError) Error() string {
	switch len(e.Labs) {
	case 0:
		return fmt.Sprintf("the labs in %s belong to %s", e.root, e.Owner)
	case 1:
		return fmt.Sprintf("lab %q belongs to %s", e.Labs[0], e.Owner)
	}
	return fmt.Sprintf("the labs %s belong to %s", strings.Join(e.Labs, ", "), e.Owner)
}

// Unwrap makes it an fs.ErrPermission.
func (e *ForeignError) Unwrap() error { return fs.ErrPermission }

// Hint says what to do.
func (e *ForeignError) Hint() string {
	switch {
	case e.Owner == "root":
		return "run it with sudo"
	case os.Geteuid() == 0:
		return "run it as " + e.Owner + ", without sudo"
	}
	return "run it as " + e.Owner
}

// Tidy removes the directory of labs where Lock has made it and it holds no lab:
// the process that made it may have been killed before it made one.
func Tidy() { tidy(Root()) }

func tidy(root string) {
	info, err := os.Stat(root)
	if err == nil && info.Mode()&fs.ModeSticky != 0 && info.Mode()&fs.ModePerm&^rootMode == 0 {
		os.Remove(root) // only when no other lab is left
	}
}

// rootMode marks a directory of labs that Lock has made, and that goes with its
// last lab: one that the user has made stays. Everybody may read the names of
// labs.
const rootMode = fs.ModeSticky | 0o755

func makeRoot(root string) error {
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	// The mark is there from the first moment on: a process can be killed at any.
	err := os.Mkdir(root, rootMode)
	if errors.Is(err, fs.ErrExist) {
		return checkRoot(root)
	}
	if err == nil {
		err = os.Chmod(root, rootMode) // the mode of Mkdir is cut by the umask
	}
	return err
}

// checkRoot refuses a directory that another user has put where this one's labs
// would be, among the temporary files of everybody.
func checkRoot(root string) error {
	if Fallback() == "" || root != Root() || ownedBy(root, os.Geteuid()) {
		return nil
	}
	return fmt.Errorf("%s is there, and is not a directory of yours: choose another one with %s", root, RootVariable)
}
