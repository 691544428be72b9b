package dataplane

// Frames that wait are short or of an ordinary MTU, and some are long.
const (
	shortCell    = 128
	ordinaryCell = 2048
	cellsAtOnce  = 64
)

// cells are memory for frames that wait outside of the ring. Those that were given
// back last are used first, as they are in the cache.
type cells struct {
	short, ordinary, long [][]byte // free ones
}

// get returns a cell for a frame, of its length, nil where there is none for a long
// one.
func (c *cells) get(length int) []byte {
	switch {
	case length <= shortCell:
		return pick(&c.short, shortCell, length)
	case length <= ordinaryCell:
		return pick(&c.ordinary, ordinaryCell, length)
	case length > copyBuffer || len(c.long) == 0:
		return nil
	}
	return pick(&c.long, copyBuffer, length)
}

// put takes a cell back.
func (c *cells) put(cell []byte) {
	cell = cell[:cap(cell)]
	switch len(cell) {
	case shortCell:
		c.short = append(c.short, cell)
	case ordinaryCell:
		c.ordinary = append(c.ordinary, cell)
	default:
		c.long = append(c.long, cell)
	}
}

// addLong makes n cells for long frames, of which there are no more.
func (c *cells) addLong(n int) { cut(&c.long, copyBuffer, n) }

func pick(free *[][]byte, size, length int) []byte {
	if len(*free) == 0 {
		cut(free, size, cellsAtOnce)
	}
	last := len(*free) - 1
	cell := (*free)[last]
	*free = (*free)[:last]
	return cell[:length]
}

func cut(free *[][]byte, size, n int) {
	all := make([]byte, n*size)
	for at := 0; at < len(all); at += size {
		*free = append(*free, all[at:at+size:at+size])
	}
}
