package proxyprotocol

import (
	"context"
	"net"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

type endpointKey struct{}

// withEndpoint adds the identifier of the endpoint to what requests of a connection know.
func withEndpoint(ctx context.Context, conn net.Conn) context.Context {
	proxied, ok := conn.(*proxyproto.Conn)
	if !ok || proxied.ProxyHeader() == nil {
		return ctx
	}
	tlvs, err := proxied.ProxyHeader().TLVs()
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, endpointKey{}, tlvparse.FindAWSVPCEndpointID(tlvs))
}
