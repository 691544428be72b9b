package alb_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exchanges sends bytes as they are and gives what comes back: the status, the
// body and, with a dash, the end of the connection.
func exchanges(t *testing.T, conn net.Conn, sends string) (got []string) {
	t.Helper()
	go io.WriteString(conn, sends)
	from := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			return append(got, "-")
		}
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		word, _, _ := strings.Cut(strings.TrimSpace(string(body)), " ")
		word, _, _ = strings.Cut(word, "\n")
		got = append(got, fmt.Sprintf("%d [%s]", resp.StatusCode, word))
		if strings.HasSuffix(string(body), "last") {
			return got
		}
	}
}

// said is a server that says what it was sent.
func said(string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s|%s|%s|%d|%s", r.Method, r.Host, r.URL.Path, r.ContentLength, body)
		if r.URL.Path == "/last" {
			io.WriteString(w, "|last")
		}
	})
}

func TestRequestsWhoseEndIsInDoubt(t *testing.T) {
	const (
		both = "Host: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
		last = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n"
	)
	for _, tt := range []struct {
		name, sends string
		want        []string
	}{
		{"Content-Length beside Transfer-Encoding ends the connection", "POST / HTTP/1.1\r\n" + both + last,
			[]string{"200 [POST|a|/|-1|]", "-"}},
		{"also in the second request", "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\n" + both + last,
			[]string{"200 [GET|a|/|0|]", "200 [POST|a|/2|-1|]", "-"}},
		{"after a chunked body with such a line in it",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n19;x=y\r\nline\nContent-Length: 4\n\nx\r\n0\r\nA: b\r\n\r\n" + last,
			[]string{"200 [POST|a|/|-1|line]", "200 [GET|a|/last|0||last]"}},
		{"after a body with a whole request in it",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 55\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: " + last,
			[]string{"200 [POST|a|/|55|POST]", "200 [GET|a|/last|0||last]"}},
		{"each alone leaves it open", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" +
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + last,
			[]string{"200 [POST|a|/|2|hi]", "200 [POST|a|/|-1|hi]", "200 [GET|a|/last|0||last]"}},
		{"a later HTTP/1 is no exception", "POST / HTTP/1.2\r\n" + both + last, []string{"200 [POST|a|/|-1|]", "-"}},
		{"a folded header is one", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 4\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n" + last,
			[]string{"200 [POST|a|/|-1|]", "-"}},
		{"Transfer-Encoding in HTTP/1.0 ends it, whatever the client asks for",
			"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi" + last,
			[]string{"200 [POST|192.168.0.1:80|/|2|hi]", "-"}},
		{"lines may end with LF alone", "POST / HTTP/1.1\nHost: a\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\r\n\r\n" + last,
			[]string{"200 [POST|a|/|-1|]", "-"}},
		{"a question to the whole server is passed on, and counted", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\n" + both,
			[]string{"200 []", "200 [POST|a|/|-1|]", "-"}},
		{"two different lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde" + last,
			[]string{"400 [400]", "-"}},
		{"a code that is not known", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + last,
			[]string{"501 [Unsupported]", "-"}},
		{"two codes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + last,
			[]string{"501 [Unsupported]", "-"}},
		{"a length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nhi" + last, []string{"400 [400]", "-"}},
		{"a blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n" + last, []string{"400 [400]", "-"}},
		{"no host", "GET / HTTP/1.1\r\n\r\n" + last, []string{"400 [400]", "-"}},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + last, []string{"400 [400]", "-"}},
		{"the host of an absolute target counts", "GET http://b.example/x HTTP/1.1\r\nHost: a\r\n\r\n" + last,
			[]string{"200 [GET|b.example|/x|0|]", "200 [GET|a|/last|0||last]"}},
		{"the preface of HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + last, []string{"505 [<html>]", "-"}},
		{"another request of HTTP/2 in words", "GET / HTTP/2.0\r\nHost: a\r\n\r\n" + last, []string{"505 [505]", "-"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, 1, said, func(t *testing.T, b *bench) {
				b.start()
				conn := b.connect()
				defer conn.Close()
				require.Equal(t, tt.want, exchanges(t, conn, tt.sends))
			})
		})
	}
}

func TestHTTP2WithoutTLSIsNotAgreedOn(t *testing.T) {
	inBubble(t, 1, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Header["Upgrade"], r.Header["Connection"], r.Header["Http2-Settings"])
		})
	}, func(t *testing.T, b *bench) {
		b.config.Groups[0].Keepalive = true
		b.start()
		resp, body := b.get(b.client(), "/", "Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c",
			"HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "[] [] []", body, "the server does not hear of it")
	})
}

func TestRequestsWhoseEndIsInDoubtOverTLS(t *testing.T) {
	inBubble(t, 1, said, func(t *testing.T, b *bench) {
		b.config.Protocol = "https"
		own, _ := certificate(t, "shop.example")
		b.config.Certificates = []tls.Certificate{own}
		b.start()
		conn := tls.Client(b.connect(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		defer conn.Close()
		require.Equal(t, []string{"200 [POST|a|/|-1|]", "-"}, exchanges(t, conn, "POST / HTTP/1.1\r\nHost: a\r\n"+
			"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n"))
		plain := b.connect()
		defer plain.Close()
		require.Equal(t, []string{"400 [The]", "-"}, exchanges(t, plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	})
}
