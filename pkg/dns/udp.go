package dns

import (
	"context"
	"net"
	"sync"

	"golang.org/x/net/ipv4"
)

const (
	// batch is how many datagrams one system call takes at most.
	batch = 16
	// maxUDP is the longest question that we read: more than fits a payload
	// that we say that we take, and 64 KiB for a whole batch.
	maxUDP = 4096
)

// serveUDP reads and answers datagrams in batches, as many as have come by
// then: half of what an answer costs is the way into the kernel and back.
func (s *Server) serveUDP(ctx context.Context, pc net.PacketConn) error {
	var forwarded sync.WaitGroup
	defer forwarded.Wait()
	// The batches of package ipv4 are those of any UDP socket.
	socket := ipv4.NewPacketConn(pc)
	questions, answers := make([]ipv4.Message, batch), make([]ipv4.Message, batch)
	packed := make([][]byte, batch)
	for i := range questions {
		questions[i].Buffers, answers[i].Buffers = [][]byte{make([]byte, maxUDP)}, make([][]byte, 1)
		packed[i] = make([]byte, payload)
	}
	for {
		n, err := socket.ReadBatch(questions, 0)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		s.count.udp.Add(uint64(n))
		ready := 0
		for i, q := range questions[:n] {
			e := exchange{from: addrPortOf(q.Addr), udp: true, buf: packed[i]}
			at := q.Addr
			reply := s.handle(ctx, q.Buffers[0][:q.N], e, &forwarded, func(reply []byte) {
				_, _ = pc.WriteTo(reply, at)
			})
			if reply != nil {
				answers[ready].Buffers[0], answers[ready].Addr = reply, at
				ready++
			}
		}
		send(socket, answers[:ready])
	}
}

// send leaves out what cannot be sent: an asker that cannot be reached any
// more is no matter.
func send(socket *ipv4.PacketConn, answers []ipv4.Message) {
	for len(answers) > 0 {
		n, err := socket.WriteBatch(answers, 0)
		if err != nil {
			n = max(n, 0) + 1
		}
		answers = answers[min(n, len(answers)):]
	}
}
