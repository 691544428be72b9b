package memo

// Numbered numbers the elements of a list: one keeps its number for as long as the list has
// it under its key and it is the same, and no other value of this process has it. So numbers
// stand for values where much depends on many of them. What it costs follows what differs
// where lists share the rest: nothing where they are one, and a look at each element, without
// a look at its key, where they differ in few places. The zero value is of an empty list. One
// goroutine uses it at a time.
type Numbered[T any] struct {
	list    []T
	numbers []uint64
	at      map[string]int
}

// Follow makes it that of another list, of which each element has a key of its own. It
// returns the keys whose elements are not what they were, those that are gone with them.
func (n *Numbered[T]) Follow(list []T, key func(*T) string) (changed []string) {
	if len(list) == len(n.list) && (len(list) == 0 || &list[0] == &n.list[0]) {
		return nil
	}
	was, numbers := n.list, n.numbers
	n.list, n.numbers = list, make([]uint64, len(list))
	if !n.sameKeys(was, key) {
		old := n.at
		n.at = make(map[string]int, len(list))
		for i := range list {
			n.at[key(&list[i])] = i
		}
		for k := range old {
			if _, there := n.at[k]; !there {
				changed = append(changed, k)
			}
		}
		for i := range list {
			k := key(&list[i])
			if j, there := old[k]; there && Unchanged(&was[j], &list[i]) {
				n.numbers[i] = numbers[j]
			} else {
				n.numbers[i], changed = Stamp(), append(changed, k)
			}
		}
		return changed
	}
	for i := range list {
		if n.numbers[i] = numbers[i]; !Unchanged(&was[i], &list[i]) {
			n.numbers[i], changed = Stamp(), append(changed, key(&list[i]))
		}
	}
	return changed
}

// sameKeys says whether the list has the keys of another one in the same order.
func (n *Numbered[T]) sameKeys(was []T, key func(*T) string) bool {
	if len(was) != len(n.list) {
		return false
	}
	for i := range was {
		if key(&was[i]) != key(&n.list[i]) {
			return false
		}
	}
	return true
}

// Unchanged says whether two values are the same as inputs are.
func Unchanged[T any](a, b *T) bool { return Identical(a, b) || same(a, b) }

// Of is the number of the element with a key, 0 where there is none.
func (n *Numbered[T]) Of(key string) uint64 {
	if i, ok := n.at[key]; ok {
		return n.numbers[i]
	}
	return 0
}

// Get is the element with a key, nil where there is none.
func (n *Numbered[T]) Get(key string) *T {
	if i, ok := n.at[key]; ok {
		return &n.list[i]
	}
	return nil
}
