package topology

import (
	"strconv"
	"strings"
	"time"
)

// HealthCheck says how and how often servers are probed. It is comparable.
type HealthCheck struct {
	// Protocol is TCP, which connects and resets; HTTP; UDP; or NoProtocol, and
	// then every server counts as healthy.
	Protocol  Protocol
	Port      uint16 // 0: the server's own
	Interval  time.Duration
	Timeout   time.Duration
	Healthy   int // successes in a row that make a server healthy again
	Unhealthy int // failures in a row that make it unhealthy

	// Of http alone.
	Method    string // GET or HEAD
	Path      string // begins with /
	Host      string // of the Host header; "": the server's address
	Codes     Codes  // the answers that are successes
	UserAgent string // "": the checker's own

	// Of udp alone: what is sent, and the answer that is a success; "" takes
	// any, and silence too.
	Request, Response string

	// ProxyHeader puts a PROXY protocol v2 header with the command LOCAL
	// before everything: servers that expect a header get one, and it says
	// nothing of a consumer.
	ProxyHeader bool
}

// Codes are HTTP statuses: numbers and ranges with commas between them, for
// example 200-399 or 200,301-302.
type Codes string

// Contains says whether a status is among the codes.
func (c Codes) Contains(status int) bool {
	for part := range strings.SplitSeq(string(c), ",") {
		first, last, ok := CodeRange(part)
		if ok && first <= status && status <= last {
			return true
		}
	}
	return false
}

// CodeRange reads 200, 200-399, and the clouds' 2xx and http_2xx.
func CodeRange(text string) (first, last int, ok bool) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "http_")
	if len(text) == 3 && strings.HasSuffix(text, "xx") {
		text = text[:1] + "00-" + text[:1] + "99"
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, errFirst := strconv.Atoi(from)
	last, errLast := strconv.Atoi(to)
	ok = errFirst == nil && errLast == nil && 100 <= first && first <= last && last <= 599
	return first, last, ok
}
