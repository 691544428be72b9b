package dns

import (
	"context"
	"net"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
)

const (
	// batch is how many datagrams one system call takes at most.
	batch = 16
	// maxUDP is the longest question that we read: more than fits a payload
	// that we say that we take, and 64 KiB for a whole batch.
	maxUDP = 4096
)

// serveUDP answers datagrams until ctx ends. It reads them in batches where the
// socket is the kernel's: half of what an answer costs is the system calls.
func (s *Server) serveUDP(ctx context.Context, pc net.PacketConn) error {
	var forwarded sync.WaitGroup
	defer forwarded.Wait()
	serve := s.serveEach
	if _, ok := pc.(syscall.Conn); ok {
		serve = s.serveBatches
	}
	err := serve(ctx, pc, &forwarded)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serveEach reads and answers datagrams one by one.
func (s *Server) serveEach(ctx context.Context, pc net.PacketConn, forwarded *sync.WaitGroup) error {
	question, packed := make([]byte, maxUDP), make([]byte, payload)
	for {
		n, at, err := pc.ReadFrom(question)
		if err != nil {
			return err
		}
		s.count.udp.Add(1)
		e := exchange{from: addrPortOf(at), udp: true, buf: packed}
		write := func(reply []byte) { _, _ = pc.WriteTo(reply, at) }
		if reply := s.handle(ctx, question[:n], e, forwarded, write); reply != nil {
			write(reply)
		}
	}
}

// serveBatches reads and answers as many datagrams at a time as have come.
func (s *Server) serveBatches(ctx context.Context, pc net.PacketConn, forwarded *sync.WaitGroup) error {
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
		if err != nil {
			return err
		}
		s.count.udp.Add(uint64(n))
		ready := 0
		for i, q := range questions[:n] {
			e := exchange{from: addrPortOf(q.Addr), udp: true, buf: packed[i]}
			at := q.Addr
			reply := s.handle(ctx, q.Buffers[0][:q.N], e, forwarded, func(reply []byte) {
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

// send leaves out what cannot be sent: its asker cannot be reached any more.
func send(socket *ipv4.PacketConn, answers []ipv4.Message) {
	for len(answers) > 0 {
		n, err := socket.WriteBatch(answers, 0)
		if err != nil {
			n = max(n, 0) + 1
		}
		answers = answers[min(n, len(answers)):]
	}
}
