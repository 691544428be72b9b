package proxyprotocol

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pires/go-proxyproto"
)

// Serve answers requests on a listener that is behind an NLB with PROXY protocol v2, and
// logs who sent them: the client's address, which the connection does not show, and the
// endpoint, which tells customers with the same addresses apart. It returns when the
// listener is closed.
func Serve(ln net.Listener, log *slog.Logger) error {
	proxied := &proxyproto.Listener{
		Listener:          ln,
		ReadHeaderTimeout: 10 * time.Second,
		// Whoever comes without a header did not come through the NLB.
		ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil },
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext:       withEndpoint,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			endpoint, _ := r.Context().Value(endpointKey{}).(string)
			log.Info("request", "client", r.RemoteAddr, "endpoint", endpoint)
			w.WriteHeader(http.StatusNoContent)
		}),
	}
	return server.Serve(proxied)
}
