package pcap

import "strings"

const dropped = "dropped: "

// Dropped is the comment of a captured packet that went nowhere, with the verdict that
// it got.
func Dropped(verdict string) string { return dropped + verdict }

// DroppedBy is the verdict in a comment that Dropped has made. It is false of every
// other comment.
func DroppedBy(comment string) (verdict string, ok bool) {
	verdict, ok = strings.CutPrefix(comment, dropped)
	if !ok {
		return "", false
	}
	return verdict, true
}
