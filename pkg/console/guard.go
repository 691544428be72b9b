package console

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// openPath is where a browser comes with a token.
const openPath = "/open"

// guard lets in who has a token, which works once and becomes a cookie. Other users of the
// machine can connect, too, and so can every page that the user's browser has open: so
// there is the cookie, the name in Host (a page of another site whose name leads here, by
// DNS rebinding, has another one), and Origin.
type guard struct {
	cookie string // its name: cookies do not know ports, and several consoles may run

	mu       sync.Mutex
	tickets  map[string]bool // not used yet
	browsers map[string]bool // the cookies' values
}

// mostTickets bounds what is kept of tokens that nobody used.
const mostTickets = 100

func newGuard() *guard {
	return &guard{cookie: "plinksim-" + rand.Text()[:8], tickets: map[string]bool{}, browsers: map[string]bool{}}
}

// ticket is a new token.
func (g *guard) ticket() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tickets) >= mostTickets {
		clear(g.tickets)
	}
	token := rand.Text() + rand.Text()
	g.tickets[token] = true
	return token
}

// admit takes a token and gives the cookie of a browser.
func (g *guard) admit(token string) (*http.Cookie, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ticket := range g.tickets {
		if subtle.ConstantTimeCompare([]byte(ticket), []byte(token)) == 1 {
			delete(g.tickets, ticket)
			value := rand.Text() + rand.Text()
			g.browsers[value] = true
			return &http.Cookie{
				Name: g.cookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
			}, true
		}
	}
	return nil, false
}

// knows says whether a request has the cookie of a browser that was let in.
func (g *guard) knows(r *http.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range r.CookiesNamed(g.cookie) {
		if g.browsers[c.Value] {
			return true
		}
	}
	return false
}

// policy is what pages may do: nothing but what comes from here, no script and no style
// inside of a page (W3C, Content Security Policy Level 3).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';" +
	" form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (g *guard) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Without any referrer a browser sends forms with Origin: null (Fetch, 3.2.2).
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if why := g.refuses(r); why != "" {
			h.Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte(why + "\n"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuses is why a request is not answered, "" where it is.
func (g *guard) refuses(r *http.Request) string {
	origin := r.Header.Get("Origin")
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case !isLoopback(r.Host):
		return "The console answers as localhost and under loopback addresses alone."
	case origin != "" && origin != "http://"+r.Host, changes && origin == "":
		return "The request does not come from a page of the console."
	case site == "cross-site" || site == "same-site":
		if r.URL.Path != openPath || changes {
			return "The request comes from a page of another site."
		}
	}
	if r.URL.Path != openPath && !g.knows(r) {
		return "This browser is not known to the console: open the address that \"plinksim console\" printed.\n" +
			"Each address works once; \"Another browser\" in the console's menu makes one more."
	}
	return ""
}

// isLoopback says whether a Host header names this machine to itself. A tunnel may have
// another port.
func isLoopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && addr.IsLoopback()
}

// open takes a token. The page goes on by itself: a browser that came from elsewhere, for
// example from a mail, would not send the new cookie after a redirection (RFC 6265bis,
// 5.2, "Same-site" requests).
func (c *Console) open(w http.ResponseWriter, r *http.Request) {
	cookie, ok := c.guard.admit(r.URL.Query().Get("token"))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if !ok && !c.guard.knows(r) {
		w.WriteHeader(http.StatusForbidden)
		w.Write([]byte(closedPage))
		return
	}
	if ok {
		http.SetCookie(w, cookie)
	}
	w.Write([]byte(admittedPage))
}

const admittedPage = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>plinksim</title>
<meta http-equiv="refresh" content="0;url=/"></head><body><p><a href="/">Go on</a></p></body></html>
`

const closedPage = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>plinksim</title></head>
<body><h1>This address was used already</h1>
<p>An address opens the console once. In the browser that has it open, &quot;Another browser&quot; in the menu makes
one more; &quot;plinksim console&quot; started again does so, too.</p></body></html>
`
