package fullnat

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Layout is what a PROXY protocol header (HAProxy, "The PROXY protocol",
// section 2.2: version 2) says besides addresses.
type Layout uint8

const (
	// NoHeader is no header at all.
	NoHeader Layout = iota
	// LayoutAWS is the header of a Network Load Balancer: a CRC32C, the
	// endpoint's identifier in a TLV of type 0xEA and padding up to 100 bytes.
	// AWS, User Guide for Network Load Balancers, "Edit target group
	// attributes"; byte for byte in aws/elastic-load-balancing-tools:proprot,
	// Compatibility_AwsNetworkLoadBalancerTest.java.
	LayoutAWS
	// LayoutAlibaba is the header of a Network Load Balancer of Alibaba Cloud:
	// identifiers of VPC, endpoint and endpoint service in TLVs of type 0xE1.
	// Alibaba Cloud, PrivateLink, "Obtain real client information".
	LayoutAlibaba
)

// Types and subtypes of TLVs. Those without a cloud are from section 2.2.1 ff.
const (
	tlvCRC32C = 0x03
	tlvNoop   = 0x04

	tlvAlibaba         = 0xe1
	tlvAlibabaVPC      = 0x01
	tlvAlibabaEndpoint = 0x02
	tlvAlibabaService  = 0x03

	tlvAWS         = 0xea
	tlvAWSEndpoint = 0x01
)

const (
	proxySignature  = "\r\n\r\n\x00\r\nQUIT\n"
	proxyVersion    = 0x21 // version 2, command PROXY
	proxyTCPv4      = 0x11
	proxyUDPv4      = 0x12
	proxyHeaderLen  = 16
	proxyAddrsIPv4  = 12 // IPv6 joins here, with 36 bytes and families 0x21 and 0x22
	tlvHeaderLen    = 3
	awsHeaderLength = 100
)

// maxHeader is the longest header that a session has room for.
const maxHeader = 216

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkHeader says whether the header has room for the identifiers.
func (i *Identity) checkHeader() error {
	const begin = proxyHeaderLen + proxyAddrsIPv4
	switch i.Header {
	case NoHeader:
	case LayoutAWS:
		const room = awsHeaderLength - begin - (tlvHeaderLen + 4) - tlvHeaderLen - (tlvHeaderLen + 1)
		if len(i.Endpoint) > room {
			return fmt.Errorf("endpoint %q in the PROXY header: want at most %d bytes", i.Endpoint, room)
		}
	case LayoutAlibaba:
		const room = maxHeader - begin - 3*(tlvHeaderLen+1)
		if len(i.VPC)+len(i.Endpoint)+len(i.Service) > room {
			return fmt.Errorf("identifiers %q, %q and %q in the PROXY header: want at most %d bytes altogether", i.VPC, i.Endpoint, i.Service, room)
		}
	default:
		return fmt.Errorf("layout %d of the PROXY header is none", i.Header)
	}
	return nil
}

// appendHeader appends the header for the session that p, as the consumer sent
// it, is the first packet of.
func (i *Identity) appendHeader(b []byte, p *packet.Packet) []byte {
	family := byte(proxyTCPv4)
	if p.Kind == packet.UDP {
		family = proxyUDPv4
	}
	b = append(b, proxySignature...)
	b = append(b, proxyVersion, family, 0, 0)
	b = binary.BigEndian.AppendUint32(b, p.Src)
	b = binary.BigEndian.AppendUint32(b, p.Dst)
	b = binary.BigEndian.AppendUint16(b, p.SrcPort)
	b = binary.BigEndian.AppendUint16(b, p.DstPort)
	if i.Header == LayoutAWS {
		return i.appendAWS(b)
	}
	b = appendIdentifier(b, tlvAlibaba, tlvAlibabaVPC, i.VPC)
	b = appendIdentifier(b, tlvAlibaba, tlvAlibabaEndpoint, i.Endpoint)
	b = appendIdentifier(b, tlvAlibaba, tlvAlibabaService, i.Service)
	putHeaderLength(b)
	return b
}

func (i *Identity) appendAWS(b []byte) []byte {
	b = append(b, tlvCRC32C, 0, 4)
	sum := len(b)
	b = append(b, 0, 0, 0, 0)
	b = appendIdentifier(b, tlvAWS, tlvAWSEndpoint, i.Endpoint)
	padding := awsHeaderLength - len(b) - tlvHeaderLen
	b = append(b, tlvNoop, 0, byte(padding))
	b = append(b, make([]byte, padding)...)
	putHeaderLength(b)
	// It is computed over the whole header with zeros in its own place.
	binary.BigEndian.PutUint32(b[sum:], crc32.Checksum(b, castagnoli))
	return b
}

func putHeaderLength(b []byte) {
	binary.BigEndian.PutUint16(b[proxyHeaderLen-2:], uint16(len(b)-proxyHeaderLen))
}

func appendIdentifier(b []byte, kind, subtype byte, id string) []byte {
	if id == "" {
		return b
	}
	b = append(b, kind, 0, byte(1+len(id)), subtype)
	return append(b, id...)
}
