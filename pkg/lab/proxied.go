package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
)

// peer is who a built-in service answers.
type peer struct {
	from net.Addr // where the connection comes from, as the instance sees it
	// header is what a PROXY header says, nil where there was none, or none is read.
	header *clientHeader
}

// clientHeader is the part of a PROXY protocol header by which clouds tell who the
// client is (haproxy/haproxy:doc/proxy-protocol.txt).
type clientHeader struct {
	source, destination net.Addr
	// Identifiers, "" where the header does not say them.
	vpc, endpoint, service string
}

// The types of the TLVs that have identifiers, and their first bytes: AWS, "Edit target
// group attributes for your Network Load Balancer"; Alibaba Cloud, PrivateLink,
// "Obtain real client information".
const (
	tlvAWS, tlvAWSEndpoint                                 = 0xea, 0x01
	tlvAlibaba                                             = 0xe1
	tlvAlibabaVPC, tlvAlibabaEndpoint, tlvAlibabaServiceID = 0x01, 0x02, 0x03
)

// headerTime is how long a client may take for its PROXY header.
const headerTime = 30 * time.Second

// readsHeaders lets the connections of a listener have a PROXY header before all else.
// One without is closed when it is read from: a server must not guess (section 2).
func readsHeaders(ln net.Listener) net.Listener {
	return &proxyproto.Listener{Listener: ln, ReadHeaderTimeout: headerTime}
}

// peerOf is who is at the other end. It waits for the PROXY header of a connection
// that is to have one.
func peerOf(conn net.Conn) peer {
	proxied, ok := conn.(*proxyproto.Conn)
	if !ok {
		return peer{from: conn.RemoteAddr()}
	}
	header := proxied.ProxyHeader()
	p := peer{from: proxied.Raw().RemoteAddr()}
	if header == nil || header.Command.IsLocal() || header.SourceAddr == nil || header.DestinationAddr == nil {
		return p
	}
	p.header = &clientHeader{source: header.SourceAddr, destination: header.DestinationAddr}
	tlvs, _ := header.TLVs() // what can be read
	for _, tlv := range tlvs {
		if len(tlv.Value) == 0 {
			continue
		}
		id := string(tlv.Value[1:])
		switch [2]byte{byte(tlv.Type), tlv.Value[0]} {
		case [2]byte{tlvAWS, tlvAWSEndpoint}, [2]byte{tlvAlibaba, tlvAlibabaEndpoint}:
			p.header.endpoint = id
		case [2]byte{tlvAlibaba, tlvAlibabaVPC}:
			p.header.vpc = id
		case [2]byte{tlvAlibaba, tlvAlibabaServiceID}:
			p.header.service = id
		}
	}
	return p
}

// client is where the client says that it is, or else where its connection comes
// from.
func (p peer) client() net.Addr {
	if p.header != nil {
		return p.header.source
	}
	return p.from
}

// fill puts what is known of the client in the place of {client}, {endpoint} and
// {proxy}; "none" where nothing is.
func (p peer) fill(text string) string {
	client := p.client().String()
	if addr, err := netip.ParseAddrPort(client); err == nil {
		client = addr.Addr().Unmap().String()
	}
	endpoint, proxy := "none", "none"
	if h := p.header; h != nil {
		proxy = fmt.Sprintf("%s > %s", h.source, h.destination)
		if h.endpoint != "" {
			endpoint = h.endpoint
		}
	}
	return strings.NewReplacer("{client}", client, "{endpoint}", endpoint, "{proxy}", proxy).Replace(text)
}

// lines are what a service that shows its client prints of the header.
func (p peer) lines() (lines []string) {
	h := p.header
	if h == nil {
		return nil
	}
	lines = []string{"proxy-source " + h.source.String(), "proxy-destination " + h.destination.String()}
	for _, id := range []struct{ name, value string }{
		{"proxy-vpc", h.vpc}, {"proxy-endpoint", h.endpoint}, {"proxy-service", h.service},
	} {
		if id.value != "" {
			lines = append(lines, id.name+" "+id.value)
		}
	}
	return lines
}
