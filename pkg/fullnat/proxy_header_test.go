package fullnat

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func firstPacket(kind packet.Kind) *packet.Packet {
	return &packet.Packet{Kind: kind, Src: 0xac1f0771, SrcPort: 51442, Dst: 0xac1f0a1f, DstPort: 80}
}

func TestPROXYHeaders(t *testing.T) {
	t.Run("nat J: the header of AWS is byte for byte the one that AWS publishes", func(t *testing.T) {
		// aws/elastic-load-balancing-tools:proprot,
		// Compatibility_AwsNetworkLoadBalancerTest.java.
		want := "0d0a0d0a000d0a515549540a21110054" + "ac1f0771ac1f0a1fc8f20050" + "030004e8d6892d" +
			"ea001701" + hex.EncodeToString([]byte("vpce-08d2bf15fac5001c9")) + "040024" + strings.Repeat("00", 36)
		i := Identity{Header: LayoutAWS, Endpoint: "vpce-08d2bf15fac5001c9"}
		require.NoError(t, i.check(packet.ProtocolTCP))
		require.Equal(t, want, hex.EncodeToString(i.appendHeader(nil, firstPacket(packet.TCP))))
	})
	t.Run("nat J: the header of AWS has 100 bytes, whatever the endpoint is called", func(t *testing.T) {
		for _, n := range []int{0, 1, 22, 40, 58} {
			i := Identity{Header: LayoutAWS, Endpoint: strings.Repeat("v", n)}
			require.NoError(t, i.check(packet.ProtocolTCP))
			b := i.appendHeader(nil, firstPacket(packet.UDP))
			require.Len(t, b, 100)
			h := parseHeader(t, b)
			require.Equal(t, proxyproto.UDPv4, h.TransportProtocol)
			tlvs, err := h.TLVs()
			require.NoError(t, err)
			require.Equal(t, n, len(tlvparse.FindAWSVPCEndpointID(tlvs)))
		}
		i := Identity{Header: LayoutAWS, Endpoint: strings.Repeat("v", 59)}
		require.ErrorContains(t, i.check(packet.ProtocolTCP), "at most 58")
	})
	t.Run("nat J: the header of Alibaba Cloud names what it is told to", func(t *testing.T) {
		for _, i := range []Identity{
			{}, {VPC: "vpc-1"}, {Endpoint: "ep-2"}, {Service: "epsrv-3"}, {VPC: "vpc-1", Endpoint: "ep-22", Service: "epsrv-333"},
		} {
			i.Header = LayoutAlibaba
			h := parseHeader(t, i.appendHeader(nil, firstPacket(packet.TCP)))
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
		require.ErrorContains(t, (&Identity{Header: LayoutAlibaba, VPC: long}).check(packet.ProtocolTCP), "at most 176")
		i := Identity{Header: LayoutAlibaba, VPC: long[1:]}
		require.NoError(t, i.check(packet.ProtocolTCP))
		require.LessOrEqual(t, len(i.appendHeader(nil, firstPacket(packet.TCP))), maxHeader)
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
