package alb

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// framing follows the requests of one HTTP/1 connection. net/http takes away
// what it makes no use of, and with it the two cases in which another reader
// may see other bounds of a request: Content-Length beside Transfer-Encoding,
// and Transfer-Encoding in HTTP/1.0. Both are answered, and the connection is
// closed then (RFC 9112, 6.1; so does AWS: aws/http-desync-guardian, README,
// "Ambiguous" in the mode "Defensive"). What net/http refuses is not looked at.
type framing struct {
	mu     sync.Mutex
	line   []byte // what has come of a line
	left   int64  // bytes of a body, or of a chunk, that are still to come
	at     place
	head   head
	faulty []bool // of the heads whose requests are not served yet
}

// place is what the next line of a connection is.
type place int

const (
	requestLine place = iota
	headerLine
	chunkSize
	chunkEnd
	trailerLine
	lost // not HTTP/1, or what net/http refuses
)

// maxLine is more than net/http takes of any line.
const maxLine = 1 << 20

// head is what matters of a request's head.
type head struct {
	old           bool // HTTP/1.0
	length, codes []string
	last          *[]string // whose value the next line may go on with
}

// feed reads what the client has sent.
func (f *framing) feed(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(b) > 0 && f.at != lost {
		if f.left > 0 {
			n := min(f.left, int64(len(b)))
			f.left -= n
			b = b[n:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			f.line = append(f.line, b...)
			if len(f.line) > maxLine {
				f.at, f.line = lost, nil
			}
			return
		}
		line := string(append(f.line, b[:end]...))
		f.line, b = f.line[:0], b[end+1:]
		f.read(strings.TrimSuffix(line, "\r"))
	}
}

func (f *framing) read(line string) {
	switch f.at {
	case requestLine:
		f.head = head{old: strings.HasSuffix(line, " HTTP/1.0")}
		f.at = headerLine
		if version := max(0, len(line)-len(" HTTP/1.1")); !strings.HasPrefix(line[version:], " HTTP/1.") {
			f.at = lost
		}
	case headerLine:
		if line == "" {
			f.endHead()
			return
		}
		f.head.read(line)
	case chunkSize:
		digits, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 16, 64)
		switch {
		case err != nil:
			f.at = lost
		case n == 0:
			f.at = trailerLine
		default:
			f.left, f.at = n, chunkEnd
		}
	case chunkEnd:
		f.at = chunkSize
	case trailerLine:
		if line == "" {
			f.at = requestLine
		}
	}
}

func (h *head) read(line string) {
	if line[0] == ' ' || line[0] == '\t' { // RFC 9112, 5.2
		if h.last != nil {
			values := *h.last
			values[len(values)-1] = strings.TrimSpace(values[len(values)-1] + " " + strings.TrimSpace(line))
		}
		return
	}
	name, value, _ := strings.Cut(line, ":")
	h.last = nil
	switch strings.ToLower(name) {
	case "content-length":
		h.last = &h.length
	case "transfer-encoding":
		h.last = &h.codes
	default:
		return
	}
	*h.last = append(*h.last, strings.TrimSpace(value))
}

// endHead decides where the request ends, as net/http does.
func (f *framing) endHead() {
	h := f.head
	f.faulty = append(f.faulty, len(h.codes) > 0 && (h.old || len(h.length) > 0))
	f.at = requestLine
	switch {
	case len(h.codes) > 0 && !h.old:
		f.at = chunkSize
	case len(h.length) > 0:
		n, err := strconv.ParseInt(h.length[0], 10, 64)
		if err != nil {
			f.at = lost
			return
		}
		f.left = n
	}
}

// next says of the request that is served now whether its framing is faulty.
func (f *framing) next() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.faulty) == 0 {
		return false
	}
	faulty := f.faulty[0]
	f.faulty = f.faulty[1:]
	return faulty
}

// stop forgets what came: from here on it is another protocol's.
func (f *framing) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.line = lost, nil
}

// framed is a client's connection whose requests are followed.
type framed struct {
	net.Conn
	framing
}

func (f *framed) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	f.feed(b[:n])
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && plain.Conn != nil {
		const page = "HTTP/1.0 400 Bad Request\r\n\r\nThe plain HTTP request was sent to an HTTPS port.\n"
		_, _ = plain.Conn.Write([]byte(page))
	}
	return n, err
}

// CloseWrite lets an upgraded connection end in one direction alone.
func (f *framed) CloseWrite() error { return closeWrite(f.Conn) }

type framedKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, framedKey{}, conn)
}

// framedOf is the connection that a request came by.
func framedOf(r *http.Request) *framed { return r.Context().Value(framedKey{}).(*framed) }
