package fullnat_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// A consumer sends a SYN to an endpoint. It leaves towards the backend, with a
// NAT IP and a NAT port as its source.
func ExampleTable_Forward() {
	table, err := fullnat.New(fullnat.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer table.Close()
	err = table.Configure(&fullnat.Config{
		ENIs: []fullnat.Interface{
			{ENI: 1, MAC: packet.MACOf(netip.MustParseAddr("10.0.0.77")), NextHop: packet.MACOf},
			{ENI: 2, MAC: packet.MACOf(netip.MustParseAddr("100.64.0.1")), NextHop: packet.MACOf},
		},
		Links: []fullnat.Link{{
			Name:    "ep1 tcp/80",
			Ingress: 1, Match: netip.MustParseAddrPort("10.0.0.77:80"), Protocol: packet.ProtocolTCP,
			Egress: 2, Local: []netip.Addr{netip.MustParseAddr("100.64.0.1")},
			Connected: true,
			Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) {
				return netip.MustParseAddrPort("192.168.24.2:8080"), true
			},
			Idle: 15 * time.Minute,
		}},
	}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}

	syn := packet.Segment{
		Envelope: packet.Envelope{Src: 0x0a0000b6, Dst: 0x0a00004d}, // 10.0.0.182 to 10.0.0.77
		SrcPort:  40000, DstPort: 80, Flags: packet.FlagSYN,
	}
	frames := []packet.Frame{{ENI: 1, Data: make([]byte, packet.ResetSize)}}
	syn.Build(frames[0].Data)
	verdicts := make([]fullnat.Verdict, 1)
	table.Forward(frames, verdicts, time.Second)

	session := table.Sessions(nil, time.Second)[0]
	fmt.Println(verdicts[0], "by ENI", frames[0].ENI)
	fmt.Println(session.Consumer, "reaches", session.Target, "from", session.Local.Addr())
	// Output:
	// Forwarded by ENI 2
	// 10.0.0.182:40000 reaches 192.168.24.2:8080 from 100.64.0.1
}
