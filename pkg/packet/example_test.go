package packet_test

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/packet"
)

// A client asks an endpoint, and the packet goes on to a server with the addresses
// of the load balancer. The difference of the checksums is worked out once and fits
// every packet of the session.
func Example() {
	const (
		client, endpoint     = 10<<24 | 182, 10<<24 | 77                           // 10.0.0.182, 10.0.0.77
		loadBalancer, server = 100<<24 | 64<<16 | 1, 192<<24 | 168<<16 | 24<<8 | 2 // 100.64.0.1, 192.168.24.2
	)
	data := make([]byte, packet.ResetSize)
	request := packet.Segment{
		Envelope: packet.Envelope{Src: client, Dst: endpoint},
		SrcPort:  40000, DstPort: 80, Flags: packet.FlagSYN,
	}
	request.Build(data)
	frame := packet.Frame{ENI: 1, Data: data}

	var p packet.Packet
	if packet.Parse(frame.Data, &p) != packet.TCP {
		return
	}
	src, dst := p.Addrs(frame.Data)
	fmt.Printf("%s:%d > %s:%d, TTL %d\n", src, p.SrcPort, dst, p.DstPort, p.TTL)

	rewrite := packet.NewRewrite(&p, loadBalancer, server, 1024, 8080)
	rewrite.Apply(&frame, &p)

	packet.Parse(frame.Data, &p)
	src, dst = p.Addrs(frame.Data)
	fmt.Printf("%s:%d > %s:%d, TTL %d\n", src, p.SrcPort, dst, p.DstPort, p.TTL)
	fmt.Println("checksums right:", packet.IntactTCP(&frame, &p))

	// Output:
	// 10.0.0.182:40000 > 10.0.0.77:80, TTL 64
	// 100.64.0.1:1024 > 192.168.24.2:8080, TTL 63
	// checksums right: true
}
