package cloudapi

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/wire"
)

// Paths lead to values in objects, each by the names of members.
type Paths [][]string

// PathsOf reads paths such as Association.Main, with a comma between two.
func PathsOf(text string) (out Paths) {
	for _, path := range strings.Split(text, ",") {
		out = append(out, strings.Split(path, "."))
	}
	return out
}

// Texts are the values that the paths lead to, through structures and lists, as filters
// write them.
func (p Paths) Texts(m wire.M) (out []string) {
	for _, path := range p {
		out = append(out, textsAt(m, path)...)
	}
	return out
}

// Texts are the values that the paths of a text lead to.
func Texts(m wire.M, paths string) []string { return PathsOf(paths).Texts(m) }

func textsAt(value any, path []string) (out []string) {
	switch v := value.(type) {
	case nil:
		return nil
	case wire.M:
		if len(path) == 0 {
			return nil
		}
		return textsAt(v[path[0]], path[1:])
	case []wire.M:
		for _, one := range v {
			out = append(out, textsAt(one, path)...)
		}
		return out
	case []string:
		return v
	case string:
		return []string{v}
	}
	return []string{fmt.Sprint(value)}
}
