package memo

import "encoding/json"

// Texts writes lists as JSON, and remembers the text of each element: a list that differs
// from the one before at one place costs little more than that place. Elements must not
// be changed once they were given. The zero value remembers nothing. One goroutine uses
// it at a time.
type Texts[T comparable] struct {
	all   []T
	texts [][]byte
}

// Of has a text for each element of a list. The texts must not be changed.
func (t *Texts[T]) Of(list []T) ([][]byte, error) {
	first, last := 0, 0 // how many are as before at either end
	for short := min(len(list), len(t.all)); first < short && list[first] == t.all[first]; {
		first++
	}
	for short := min(len(list), len(t.all)) - first; last < short &&
		list[len(list)-1-last] == t.all[len(t.all)-1-last]; {
		last++
	}
	texts := make([][]byte, 0, len(list))
	texts = append(texts, t.texts[:first]...)
	for _, e := range list[first : len(list)-last] {
		text, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	texts = append(texts, t.texts[len(t.texts)-last:]...)
	t.all, t.texts = list, texts
	return texts, nil
}

// AppendList appends texts as a JSON array, one element a line.
func AppendList(b []byte, texts [][]byte) []byte {
	for i, text := range texts {
		if i == 0 {
			b = append(b, "[\n"...)
		} else {
			b = append(b, ",\n"...)
		}
		b = append(b, text...)
	}
	if len(texts) == 0 {
		return append(b, "[]"...)
	}
	return append(b, "\n]"...)
}
