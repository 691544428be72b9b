package alb

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	endOfHead = regexp.MustCompile(`\n\r?\n`)
	hasLength = regexp.MustCompile(`(?i)\ncontent-length:`)
	hasCodes  = regexp.MustCompile(`(?i)\ntransfer-encoding:`)
)

// naive reads requests with net/http and looks for the two headers in what each
// has taken from the connection.
func naive(data []byte) (faulty []bool) {
	rest := bytes.NewReader(data)
	buffered := bufio.NewReaderSize(rest, 1<<16)
	for {
		text := data[len(data)-rest.Len()-buffered.Buffered():]
		r, err := http.ReadRequest(buffered)
		if err != nil || r.ProtoMajor != 1 {
			return faulty
		}
		if end := endOfHead.FindIndex(text); end != nil {
			text = text[:end[1]]
		}
		old := r.ProtoMajor == 1 && r.ProtoMinor == 0
		faulty = append(faulty, hasCodes.Match(text) && (old || hasLength.Match(text)))
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return faulty
		}
	}
}

// FuzzFraming holds what is followed to what net/http reads, however the bytes
// are split.
func FuzzFraming(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nA: b\r\n\r\n" +
			"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\nTransfer-Encoding:\n chunked\n\n0\r\n\r\n",
	} {
		f.Add([]byte(text), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		if len(data) > 1<<15 {
			return
		}
		var split framing
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			split.feed(rest[:n])
			rest = rest[n:]
		}
		want := naive(data)
		require.GreaterOrEqual(t, len(split.faulty), len(want), "a request was not seen")
		require.Equal(t, want, append([]bool(nil), split.faulty[:len(want)]...))
	})
}
