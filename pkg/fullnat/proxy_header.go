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
	proxyTCPv6      = 0x21
	proxyUDPv6      = 0x22
	proxyHeaderLen  = 16
	proxyAddrsIPv4  = 12 // two addresses and ports
	proxyAddrsIPv6  = 36
	tlvHeaderLen    = 3
	awsHeaderLength = 100
)

// maxHeader is the longest header that a session has room for.
const maxHeader = 240

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkHeader says whether the header has room for the identifiers.
func (i *Identity) checkHeader(consumersHaveIPv6 bool) error {
	switch i.Header {
	case NoHeader:
	case LayoutAWS:
		room := awsHeaderLength - proxyHeaderLen - proxyAddrsIPv4 -
			(tlvHeaderLen + 4) - tlvHeaderLen - (tlvHeaderLen + 1)
		if consumersHaveIPv6 {
			room -= proxyAddrsIPv6 - proxyAddrsIPv4
		}
		if len(i.Endpoint) > room {
			return fmt.Errorf("endpoint %q in the PROXY header: want at most %d bytes", i.Endpoint, room)
		}
	case LayoutAlibaba:
		const room = maxHeader - proxyHeaderLen - proxyAddrsIPv6 - 3*(tlvHeaderLen+1)
		if len(i.VPC)+len(i.Endpoint)+len(i.Service) > room {
			return fmt.Errorf("identifiers %q, %q and %q in the PROXY header: want at most %d bytes altogether",
				i.VPC, i.Endpoint, i.Service, room)
		}
	default:
		return fmt.Errorf("layout %d of the PROXY header is none", i.Header)
	}
	return nil
}

// appendHeader appends the header for a session of a consumer, who sees it as
// tuple says, whichever version of IP the target sees.
func (i *Identity) appendHeader(b []byte, tuple packet.FiveTuple) []byte {
	b = append(b, proxySignature...)
	b = append(b, proxyVersion, proxyFamily(tuple), 0, 0)
	b = append(b, tuple.Src.Addr().AsSlice()...)
	b = append(b, tuple.Dst.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, tuple.Src.Port())
	b = binary.BigEndian.AppendUint16(b, tuple.Dst.Port())
	if i.Header == LayoutAWS {
		return i.appendAWS(b)
	}
	b = appendIdentifier(b, tlvAlibaba, tlvAlibabaVPC, i.VPC)
	b = appendIdentifier(b, tlvAlibaba, tlvAlibabaEndpoint, i.Endpoint)
	b = appendIdentifier(b, tlvAlibaba, tlvAlibabaService, i.Service)
	putHeaderLength(b)
	return b
}

func proxyFamily(tuple packet.FiveTuple) byte {
	six, datagrams := tuple.Src.Addr().Is6(), tuple.Protocol == packet.ProtocolUDP
	switch {
	case six && datagrams:
		return proxyUDPv6
	case six:
		return proxyTCPv6
	case datagrams:
		return proxyUDPv4
	}
	return proxyTCPv4
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
