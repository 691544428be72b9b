package memo

// Differing gives the elements of two lists that are not in both to the bit: those of the
// old one, and those of the new one, in no order. An element has a key of its own in its
// list. What it costs follows what differs where lists share the rest: nothing where they
// are one, and a look at each element where they differ in few places.
func Differing[T any](old, now []T, key func(*T) string) (gone, fresh []*T) {
	if len(old) == len(now) && (len(old) == 0 || &old[0] == &now[0]) {
		return nil, nil
	}
	for len(old) > 0 && len(now) > 0 && Identical(&old[0], &now[0]) {
		old, now = old[1:], now[1:]
	}
	for len(old) > 0 && len(now) > 0 && Identical(&old[len(old)-1], &now[len(now)-1]) {
		old, now = old[:len(old)-1], now[:len(now)-1]
	}
	was := make(map[string]*T, len(old))
	for i := range old {
		was[key(&old[i])] = &old[i]
	}
	for i := range now {
		name := key(&now[i])
		if o := was[name]; o != nil && Identical(o, &now[i]) {
			delete(was, name)
		} else {
			fresh = append(fresh, &now[i])
		}
	}
	for _, o := range was {
		gone = append(gone, o)
	}
	return gone, fresh
}
