package alb

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
)

// serverID is how a cookie names a server: the same at every node, so that a
// client may come back through another zone.
func serverID(server netip.AddrPort) string {
	sum := sha256.Sum256([]byte(server.String()))
	return hex.EncodeToString(sum[:16])
}

// remembered is the server that the request's cookie names, if it can still
// take requests.
func (t *trip) remembered(req *http.Request) (netip.AddrPort, bool) {
	if t.group.Persistence == nil {
		return netip.AddrPort{}, false
	}
	for _, cookie := range req.CookiesNamed(t.group.Persistence.Cookie) {
		for _, server := range t.group.Usable() {
			if cookie.Value == serverID(server) {
				return server, true
			}
		}
	}
	return netip.AddrPort{}, false
}

// keep lets the client come back to the server that has answered.
func (t *trip) keep(resp *http.Response) {
	p := t.group.Persistence
	switch {
	case p == nil:
	case p.Mode == "rewrite":
		rewriteCookie(resp.Header, p.Cookie, serverID(t.server))
	case !t.sticky || p.Renew:
		cookie := http.Cookie{Name: p.Cookie, Value: serverID(t.server), Path: "/", MaxAge: int(p.Timeout.Seconds())}
		resp.Header.Add("Set-Cookie", cookie.String())
	}
}

// rewriteCookie replaces the value of a cookie that the server sets, and
// nothing else of it.
func rewriteCookie(header http.Header, name, value string) {
	for i, line := range header["Set-Cookie"] {
		pair, attributes, found := strings.Cut(line, ";")
		if key, _, ok := strings.Cut(pair, "="); !ok || strings.TrimSpace(key) != name {
			continue
		}
		line = name + "=" + value
		if found {
			line += ";" + attributes
		}
		header["Set-Cookie"][i] = line
	}
}
