package bench

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The generators use blocking system calls on threads of their own, as a
// program in C would: Go's poller would be part of what is measured.

// patience is how long a blocking call may take.
const patience = 5 * time.Second

// bulkBlock is how much is written and read at once.
const bulkBlock = 128 << 10

func sockaddr(addr netip.Addr, port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: addr.As4()}
}

// dialTCP connects with blocking calls that give up after a while.
func dialTCP(to netip.Addr, port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := errors.Join(
		impatient(fd),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
	); err != nil {
		unix.Close(fd)
		return -1, err
	}
	err = again(func() error { return unix.Connect(fd, sockaddr(to, port)) })
	if errors.Is(err, unix.EINPROGRESS) { // socket(7), SO_SNDTIMEO
		err = fmt.Errorf("no answer within %s", patience)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s port %d: %w", to, port, err)
	}
	return fd, nil
}

func impatient(fd int) error {
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	return errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv),
	)
}

// again repeats a call that a signal interrupted; Go's runtime sends them.
func again(call func() error) error {
	for {
		err := call()
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

var errEnded = errors.New("the connection ended")

func readAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Read(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n == 0 && err == nil {
			return errEnded
		}
		data = data[max(n, 0):]
	}
	return nil
}

// bulk writes until the window ends. The server counts.
func bulk(o order) (answer, error) {
	w := o.window()
	var all sync.WaitGroup
	var mu sync.Mutex
	var first error
	for range min(max(o.Streams, 1), 64) {
		all.Go(func() {
			if err := bulkStream(o, w.end); err != nil {
				mu.Lock()
				defer mu.Unlock()
				first = errors.Join(first, err)
			}
		})
	}
	all.Wait()
	return answer{Elapsed: o.For}, first
}

func bulkStream(o order, end time.Time) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := dialTCP(o.To, cmp.Or(o.Port, sinkPort))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	block := make([]byte, bulkBlock)
	for time.Now().Before(end) {
		if err := writeAll(fd, block); err != nil {
			return fmt.Errorf("bulk stream: %w", err)
		}
	}
	return nil
}

// request sends a request and waits for the response, one after the other.
func request(o order) (answer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := dialTCP(o.To, cmp.Or(o.Port, echoPort))
	if err != nil {
		return answer{}, err
	}
	defer unix.Close(fd)
	w := o.window()
	samples := make([]time.Duration, 0, maxSamples)
	data := make([]byte, requestSize)
	data[0] = asksEcho
	for at := time.Now(); at.Before(w.end) && len(samples) < maxSamples; {
		if err := exchange(fd, data); err != nil {
			return answer{}, fmt.Errorf("request: %w", err)
		}
		now := time.Now()
		if at.After(w.begin) {
			samples = append(samples, now.Sub(at))
		}
		at = now
	}
	a := answer{Count: uint64(len(samples)), Elapsed: time.Since(w.begin)}
	a.percentiles(samples)
	return a, nil
}

func exchange(fd int, data []byte) error {
	if err := writeAll(fd, data); err != nil {
		return err
	}
	return readAll(fd, data)
}

// download reads what the server sends until the window ends.
func download(o order) (answer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := dialTCP(o.To, o.Port)
	if err != nil {
		return answer{}, err
	}
	defer unix.Close(fd)
	if err := writeAll(fd, []byte{asksBulk}); err != nil {
		return answer{}, fmt.Errorf("download: %w", err)
	}
	w := o.window()
	block := make([]byte, bulkBlock)
	var a answer
	now := time.Now()
	for now.Before(w.end) {
		n, err := unix.Read(fd, block)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 {
			return a, fmt.Errorf("download: %w", cmp.Or(err, errEnded))
		}
		if now = time.Now(); now.After(w.begin) {
			a.Bytes += uint64(n)
		}
	}
	a.Elapsed = now.Sub(w.begin)
	return a, nil
}

// connectRequestClose opens a connection for each request. The server closes
// first, as for HTTP/1.0, so that the client's ports can be used again at once.
func connectRequestClose(o order) (answer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w := o.window()
	data := make([]byte, requestSize)
	data[0] = asksOnce
	var a answer
	for i := range cmp.Or(o.Limit, maxConnections) {
		now := time.Now()
		if !now.Before(w.end) {
			break
		}
		if err := oneConnection(o.To, cmp.Or(o.Port, closePort+i%closePorts), data); err != nil {
			return a, err
		}
		if now.After(w.begin) {
			a.Count++
		}
	}
	a.Elapsed = time.Since(w.begin)
	return a, nil
}

func oneConnection(to netip.Addr, port int, data []byte) error {
	fd, err := dialTCP(to, port)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := exchange(fd, data); err != nil {
		return fmt.Errorf("request on a connection of its own: %w", err)
	}
	if err := readAll(fd, data[:1]); !errors.Is(err, errEnded) {
		return fmt.Errorf("the server did not close: %w", err)
	}
	return nil
}

// server serves every workload.
type server struct {
	bytes, packets, reordered atomic.Uint64
}

func (s *server) counters() answer {
	return answer{Bytes: s.bytes.Load(), Packets: s.packets.Load(), Reordered: s.reordered.Load()}
}

// serve listens on every port and returns.
func serve() (*server, error) {
	s := &server{}
	for _, port := range tcpPorts() {
		fd, err := listenTCP(port)
		if err != nil {
			return nil, err
		}
		switch port {
		case sinkPort:
			go accept(fd, true, s.sink)
		case echoPort:
			go accept(fd, true, echo)
		default:
			// One at a time: the thread that accepts also answers.
			go accept(fd, false, answerOnce)
		}
	}
	fd, err := listenUDP(countPort)
	if err != nil {
		return nil, err
	}
	go s.count(fd)
	return s, nil
}

// What the first byte on a connection asks of a server that serves whatever comes on a port.
const (
	asksSink = iota // as bulk, which sends zeros
	asksEcho
	asksOnce
	asksBulk
)

// servePorts listens on ports on which every workload may come.
func servePorts(tcp, udp []int) (*server, error) {
	s := &server{}
	for _, port := range tcp {
		fd, err := listenTCP(port)
		if err != nil {
			return nil, err
		}
		go accept(fd, true, s.any)
	}
	for _, port := range udp {
		fd, err := listenUDP(port)
		if err != nil {
			return nil, err
		}
		go s.count(fd)
	}
	return s, nil
}

// any serves what the first byte asks for, behind a PROXY header if there is one.
func (s *server) any(fd int) {
	var first [1]byte
	if err := skipProxyHeader(fd); err != nil {
		return
	}
	if n, _, err := unix.Recvfrom(fd, first[:], unix.MSG_PEEK); n < 1 || err != nil {
		return
	}
	switch first[0] {
	case asksSink:
		s.sink(fd)
	case asksEcho:
		echo(fd)
	case asksOnce:
		answerOnce(fd)
	case asksBulk:
		block := make([]byte, bulkBlock)
		for writeAll(fd, block) == nil {
		}
	}
}

// skipProxyHeader reads a header of version 2 of the PROXY protocol (section 2.2 of its
// description): twelve bytes that no workload begins with, four with its length in the last two,
// and the rest.
func skipProxyHeader(fd int) error {
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	var head [len(signature) + 4]byte
	n, _, err := unix.Recvfrom(fd, head[:1], unix.MSG_PEEK)
	if err != nil || n < 1 || head[0] != signature[0] {
		return err
	}
	if err := readAll(fd, head[:]); err != nil {
		return err
	}
	return readAll(fd, make([]byte, binary.BigEndian.Uint16(head[len(signature)+2:])))
}

func listenTCP(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, sockaddr(netip.IPv4Unspecified(), port)),
		unix.Listen(fd, 1024),
	); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen on TCP port %d: %w", port, err)
	}
	return fd, nil
}

// accept serves connections, each on a thread of its own or one by one.
func accept(listener int, each bool, serve func(fd int)) {
	runtime.LockOSThread()
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if err != nil {
			return
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if !each {
			serve(fd)
			unix.Close(fd)
			continue
		}
		go func() {
			runtime.LockOSThread()
			serve(fd)
			unix.Close(fd)
		}()
	}
}

func (s *server) sink(fd int) {
	block := make([]byte, bulkBlock)
	for {
		n, err := unix.Read(fd, block)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 {
			return
		}
		s.bytes.Add(uint64(n))
	}
}

func echo(fd int) {
	data := make([]byte, requestSize)
	for readAll(fd, data) == nil && writeAll(fd, data) == nil {
	}
}

func answerOnce(fd int) {
	if impatient(fd) != nil {
		return
	}
	data := make([]byte, requestSize)
	if readAll(fd, data) == nil {
		_ = writeAll(fd, data)
	}
}
