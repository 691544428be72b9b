package topology

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Impairment is what happens to packets of a connection that go one way. The
// zero value leaves them alone. Every share is a probability from 0 to 1 and counts
// packets: where there is one, a superframe is cut into the packets that it stands
// for, and each has a fate of its own. Without any it is delayed as a whole.
//
// A frame meets them in this order: Loss, Corrupt, Duplicate, Bandwidth,
// Delay and Jitter, Reorder.
type Impairment struct {
	// Bandwidth is in bit/s; 0 does not limit. It counts Ethernet frames, and
	// a superframe counts as the packets that it is cut into, each with its
	// headers. What exceeds it waits for a short time, and more is dropped.
	Bandwidth int64
	// Delay is added to every frame, and up to Jitter more or less, evenly
	// distributed. Frames stay in order: one that would overtake leaves
	// together with the one before it.
	Delay, Jitter time.Duration
	Loss          float64 // vanishes
	Reorder       float64 // leaves late, while those behind it do not wait
	Duplicate     float64 // leaves twice
	Corrupt       float64 // leaves with one bit flipped, which the receiver's checksum tells it
}

// maxDelay bounds what must be kept in memory on its way.
const maxDelay = 10 * time.Second

// Check says what is wrong with an impairment whose parts are each right.
func (i Impairment) Check() error {
	if i.Delay > maxDelay {
		return fmt.Errorf("a delay of %s is longer than %s", i.Delay, maxDelay)
	}
	if i.Jitter > i.Delay {
		return fmt.Errorf("a jitter of %s is more than the delay of %s", i.Jitter, i.Delay)
	}
	return nil
}

// String is the impairment as commands and files write it: "delay 10ms, loss
// 1%"; "none" where there is none.
func (i Impairment) String() string {
	var parts []string
	add := func(name, text string, given bool) {
		if given {
			parts = append(parts, name+" "+text)
		}
	}
	add("bandwidth", FormatRate(i.Bandwidth), i.Bandwidth > 0)
	add("delay", i.Delay.String(), i.Delay > 0)
	add("jitter", i.Jitter.String(), i.Jitter > 0)
	add("loss", FormatShare(i.Loss), i.Loss > 0)
	add("reorder", FormatShare(i.Reorder), i.Reorder > 0)
	add("duplicate", FormatShare(i.Duplicate), i.Duplicate > 0)
	add("corrupt", FormatShare(i.Corrupt), i.Corrupt > 0)
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// rate units, in bit/s, as people write them: decimal, as networks count.
var rateUnits = []struct {
	name string
	bits float64
}{{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

const (
	minRate = 8e3
	maxRate = 100e9
)

// MinMegabits and MaxMegabits bound the bandwidth of a connection, in Mbit/s, that of
// an NLB being the largest.
const MinMegabits, MaxMegabits = 100, 50000

// MaxMegabits bounds the bandwidth of a connection to load balancers of a type:
// PrivateLink API 2020-04-15, UpdateVpcEndpointConnectionAttribute, Bandwidth.
func (t LoadBalancerType) MaxMegabits() int {
	switch t {
	case NLB:
		return MaxMegabits
	case ALB:
		return 25000
	}
	return 10240
}

// ParseRate reads a bandwidth, for example 100Mbit or 2.5Gbit, in bit/s; none, and
// 0, is 0: no limit. An "/s" at the end changes nothing.
func ParseRate(text string) (int64, error) {
	if text == "none" || text == "0" {
		return 0, nil
	}
	number := strings.TrimSuffix(text, "/s")
	for _, unit := range rateUnits {
		digits, ok := cutSuffixFold(number, unit.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || math.IsNaN(v) || v < 0 {
			break
		}
		if bits := v * unit.bits; bits >= minRate && bits <= maxRate {
			return int64(math.Round(bits)), nil
		}
		return 0, fmt.Errorf("is %s, outside 8kbit to 100Gbit", text)
	}
	return 0, fmt.Errorf("is %q, not a bandwidth such as 100Mbit", text)
}

func cutSuffixFold(text, suffix string) (string, bool) {
	at := len(text) - len(suffix)
	if at < 0 || !strings.EqualFold(text[at:], suffix) {
		return text, false
	}
	return text[:at], true
}

// FormatRate is the text that ParseRate reads.
func FormatRate(bits int64) string {
	if bits == 0 {
		return "none"
	}
	for _, unit := range rateUnits {
		if v := float64(bits) / unit.bits; v >= 1 {
			return strconv.FormatFloat(v, 'f', -1, 64) + unit.name
		}
	}
	return "none"
}

// ParseShare reads a share, for example 1% or 0.5%, as a number from 0 to 1. A
// number without % may only be 0: 0.5 could mean either.
func ParseShare(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	switch {
	case err != nil || math.IsNaN(v) || !percent && v != 0:
		return 0, fmt.Errorf("is %q, not a percentage", text)
	case v < 0 || v > 100:
		return 0, fmt.Errorf("is %s, outside 0%% to 100%%", text)
	}
	return v / 100, nil
}

// FormatShare is the text that ParseShare reads.
func FormatShare(share float64) string {
	return strconv.FormatFloat(share*100, 'g', 6, 64) + "%"
}
