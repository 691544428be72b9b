package fullnat

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func firstPacket(protocol uint8) packet.FiveTuple {
	return packet.FiveTuple{
		Src: netip.MustParseAddrPort("172.31.7.113:51442"), Dst: netip.MustParseAddrPort("172.31.10.31:80"),
		Protocol: protocol,
	}
}

func TestPROXYHeaders(t *testing.T) {
	t.Run("nat J: the header of AWS is byte for byte the one that AWS publishes", func(t *testing.T) {
		// aws/elastic-load-balancing-tools:proprot,
		// Compatibility_AwsNetworkLoadBalancerTest.java.
		want := "0d0a0d0a000d0a515549540a21110054" + "ac1f0771ac1f0a1fc8f20050" + "030004e8d6892d" +
			"ea001701" + hex.EncodeToString([]byte("vpce-08d2bf15fac5001c9")) + "040024" + strings.Repeat("00", 36)
		i := Identity{Header: LayoutAWS, Endpoint: "vpce-08d2bf15fac5001c9"}
		require.NoError(t, i.check(packet.ProtocolTCP, false))
		require.Equal(t, want, hex.EncodeToString(i.appendHeader(nil, firstPacket(packet.ProtocolTCP))))
	})
	t.Run("nat J: the header of AWS has 100 bytes, whatever the endpoint is called", func(t *testing.T) {
		for _, n := range []int{0, 1, 22, 40, 58} {
			i := Identity{Header: LayoutAWS, Endpoint: strings.Repeat("v", n)}
			require.NoError(t, i.check(packet.ProtocolTCP, false))
			b := i.appendHeader(nil, firstPacket(packet.ProtocolUDP))
			require.Len(t, b, 100)
			h := parseHeader(t, b)
			require.Equal(t, proxyproto.UDPv4, h.TransportProtocol)
			tlvs, err := h.TLVs()
			require.NoError(t, err)
			require.Equal(t, n, len(tlvparse.FindAWSVPCEndpointID(tlvs)))
		}
		i := Identity{Header: LayoutAWS, Endpoint: strings.Repeat("v", 59)}
		require.ErrorContains(t, i.check(packet.ProtocolTCP, false), "at most 58")
	})
	t.Run("nat J, nat 57: so it has with addresses of IPv6", func(t *testing.T) {
		for protocol, want := range map[uint8]proxyproto.AddressFamilyAndProtocol{
			packet.ProtocolTCP: proxyproto.TCPv6, packet.ProtocolUDP: proxyproto.UDPv6,
		} {
			i := Identity{Header: LayoutAWS, Endpoint: strings.Repeat("v", 34)}
			require.NoError(t, i.check(protocol, true))
			b := i.appendHeader(nil, packet.FiveTuple{
				Src: netip.MustParseAddrPort("[2001:db8::7]:51442"), Dst: netip.MustParseAddrPort("[2001:db8::31]:80"),
				Protocol: protocol,
			})
			require.Len(t, b, 100)
			h := parseHeader(t, b)
			require.Equal(t, want, h.TransportProtocol)
			require.Equal(t, "[2001:db8::7]:51442", h.SourceAddr.String())
			require.Equal(t, "[2001:db8::31]:80", h.DestinationAddr.String())
		}
		i := Identity{Header: LayoutAWS, Endpoint: strings.Repeat("v", 35)}
		require.ErrorContains(t, i.check(packet.ProtocolTCP, true), "at most 34")
	})
	t.Run("nat J: the header of Alibaba Cloud names what it is told to", func(t *testing.T) {
		for _, i := range []Identity{
			{}, {VPC: "vpc-1"}, {Endpoint: "ep-2"}, {Service: "epsrv-3"}, {VPC: "vpc-1", Endpoint: "ep-22", Service: "epsrv-333"},
		} {
			i.Header = LayoutAlibaba
			h := parseHeader(t, i.appendHeader(nil, firstPacket(packet.ProtocolTCP)))
			require.Equal(t, "172.31.7.113:51442", h.SourceAddr.String())
			require.Equal(t, "172.31.10.31:80", h.DestinationAddr.String())
			tlvs, err := h.TLVs()
			require.NoError(t, err)
			got := map[byte]string{}
			for _, tlv := range tlvs {
				require.EqualValues(t, 0xe1, tlv.Type)
				got[tlv.Value[0]] = string(tlv.Value[1:])
			}
			want := map[byte]string{}
			for subtype, id := range map[byte]string{1: i.VPC, 2: i.Endpoint, 3: i.Service} {
				if id != "" {
					want[subtype] = id
				}
			}
			require.Equal(t, want, got)
		}
		long := strings.Repeat("v", 177)
		require.ErrorContains(t, (&Identity{Header: LayoutAlibaba, VPC: long}).check(packet.ProtocolTCP, false), "at most 176")
		i := Identity{Header: LayoutAlibaba, VPC: long[1:]}
		require.NoError(t, i.check(packet.ProtocolTCP, false))
		require.LessOrEqual(t, len(i.appendHeader(nil, firstPacket(packet.ProtocolTCP))), maxHeader)
	})
}

func parseHeader(t *testing.T, b []byte) *proxyproto.Header {
	reader := bufio.NewReader(bytes.NewReader(append(bytes.Clone(b), "data"...)))
	h, err := proxyproto.Read(reader)
	require.NoError(t, err)
	rest := make([]byte, 5)
	n, _ := reader.Read(rest)
	require.Equal(t, "data", string(rest[:n]))
	if addr, ok := h.SourceAddr.(*net.TCPAddr); ok {
		require.Equal(t, 51442, addr.Port)
	}
	return h
}
