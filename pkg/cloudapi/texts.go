package cloudapi

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/wire"
)

// Texts are the values of a member of an object, which a path such as
// Association.Main leads to through structures and lists, as filters write them.
// Several paths have a comma between them.
func Texts(m wire.M, paths string) (out []string) {
	for _, path := range strings.Split(paths, ",") {
		out = append(out, textsAt(m, strings.Split(path, "."))...)
	}
	return out
}

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
	}
	return []string{fmt.Sprint(value)}
}
