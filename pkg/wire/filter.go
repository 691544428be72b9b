package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
)

// Filter is a condition on what a call lists: one of the values must fit. In a value, *
// stands for any characters, ? for one, and \ before one of these for itself (Amazon
// EC2 API Reference, "Filter").
type Filter struct {
	Name   string
	Values []string
}

// Fits says whether one of the filter's values fits one of an object's.
func (f Filter) Fits(values []string) bool {
	return slices.ContainsFunc(f.Values, func(pattern string) bool {
		return slices.ContainsFunc(values, func(v string) bool { return Wildcard(pattern, v) })
	})
}

// Wildcard says whether a text fits a pattern with *, ? and \. It takes time
// proportional to the product of the lengths at most.
func Wildcard(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	var i, j int
	star, mark := -1, 0 // the last *, and where in the text it went on
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && p[i] == '?':
			i, j = i+1, j+1
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == t[j]:
			i, j = i+2, j+1
		case i < len(p) && p[i] != '\\' && p[i] == t[j], i+1 == len(p) && p[i] == '\\' && t[j] == '\\':
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// Page is the part of a list that a call answers with: up to most elements from
// where token, which an earlier page of the same question gave, goes on; all where
// most is 0. next is "" at the end. ok is false where token is of another question.
func Page[T any](all []T, most int, token string, question Values) (page []T, next string, ok bool) {
	sum := question.sum()
	from := 0
	if token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) != 4+len(sum) || string(raw[4:]) != string(sum[:]) {
			return nil, "", false
		}
		from = min(int(binary.BigEndian.Uint32(raw)), len(all))
	}
	to := len(all)
	if most > 0 {
		to = min(to, from+most)
	}
	if to < len(all) {
		next = base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, uint32(to)), sum[:]...))
	}
	return all[from:to], next, true
}

// pageKeys are the parameters that may differ from page to page of one question.
var pageKeys = []string{"NextToken", "MaxResults", "Marker", "PageSize", "PageNumber", "MaxResult"}

// sum is a short hash of a question without what says which page is meant.
func (v Values) sum() (out [8]byte) {
	kept := Values{}
	for key, value := range v {
		if !slices.Contains(pageKeys, key) {
			kept[key] = value
		}
	}
	whole := kept.Hash()
	copy(out[:], whole[:])
	return out
}

// Hash tells parameters apart.
func (v Values) Hash() [32]byte {
	text, err := json.Marshal(v) // keys are sorted
	if err != nil {
		panic("parameters are plain values: " + err.Error())
	}
	return sha256.Sum256(text)
}
