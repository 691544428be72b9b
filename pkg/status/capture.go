package status

import "net/netip"

// CaptureOptions say what is captured.
type CaptureOptions struct {
	ENIs []string // as users write them; all where it is empty
	// Host and Port choose packets by their source or destination on either
	// side of the translation; the zero values choose all.
	Host netip.Addr
	Port uint16
	// Count is after how many packets it ends; 0 is never.
	Count int
}
