package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// ExecCall is a program that is to run on an instance.
type ExecCall struct {
	Instance string   `json:"instance"` // as users write it
	Argv     []string `json:"argv"`
	// Env is the environment of the user, and Set the variables that were given on purpose.
	Env []string `json:"env,omitempty"`
	Set []string `json:"set,omitempty"`
	// Dir is where the program begins, if the instance's host has it.
	Dir string `json:"dir,omitempty"`
	// Terminal is the user's, for standard input and output; nil: pipes. Standard error is of
	// the terminal too, unless ErrorApart.
	Terminal   *TerminalSize `json:"terminal,omitempty"`
	ErrorApart bool          `json:"error_apart,omitempty"`
}

// ExecProtocol is the protocol (RFC 9110, 7.8) of the connection to a program.
const ExecProtocol = "plinksim-exec"

// ExecIO is what a program has at its user's end.
type ExecIO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Signals        <-chan byte         // numbers of signals for the program
	Sizes          <-chan TerminalSize // of the terminal, when it has changed
}

// Exec runs a program on an instance, through the daemons of both hosts, until it ends, and returns its
// exit code; 128 and the number of the signal that has ended it. The program ends when ctx does.
// A goroutine may read Stdin until that has something.
func (c *Client) Exec(ctx context.Context, call ExecCall, with ExecIO) (code int, err error) {
	conn, err := c.OpenExec(ctx, call)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	to := NewFrameWriter(conn)
	taken := newCredit(ExecWindow)
	defer taken.close()
	go sendInput(to, with.Stdin, taken)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case signal := <-with.Signals:
				_ = to.Write(FrameSignal, signal) // a connection that has ended is seen below
			case size := <-with.Sizes:
				_ = to.WriteUint32(FrameSize, size.number())
			}
		}
	}()
	return receive(conn, with, taken)
}

// OpenExec starts a program as Exec does, and returns the connection on which its frames are. It
// ends with ctx.
func (c *Client) OpenExec(ctx context.Context, call ExecCall) (io.ReadWriteCloser, error) {
	return c.upgrade(ctx, "/v1/exec", ExecProtocol, call)
}

// receive shows what a program writes until it ends.
func receive(conn io.Reader, with ExecIO, taken *credit) (code int, err error) {
	var buf FrameBuffer
	for {
		f, err := ReadFrame(conn, &buf)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("its daemon has ended, or the way to it")
			}
			return 0, fmt.Errorf("the program is cut off, and ended there: %w", err)
		}
		switch f.Kind {
		case FrameOutput:
			_, err = with.Stdout.Write(f.Data)
		case FrameError:
			_, err = with.Stderr.Write(f.Data)
		case FrameTaken:
			taken.give(int(min(f.Uint32(), ExecWindow)))
		case FrameExit:
			return int(f.Data[0]), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// sendInput sends what a reader has, and its end, no more than the program takes.
func sendInput(to *FrameWriter, from io.Reader, taken *credit) {
	buf := make([]byte, MaxFrame)
	for {
		room := taken.wait()
		if room == 0 {
			return
		}
		n, err := from.Read(buf[:min(room, len(buf))])
		taken.take(n)
		if n > 0 && to.Write(FrameInput, buf[:n]...) != nil {
			return
		}
		if err != nil { // how the input ends is nothing that a program could know
			_ = to.Write(FrameInput)
			return
		}
	}
}

// credit is how much may be sent.
type credit struct {
	mu     sync.Mutex
	more   *sync.Cond
	left   int
	closed bool
}

func newCredit(n int) *credit {
	c := &credit{left: n}
	c.more = sync.NewCond(&c.mu)
	return c
}

// wait waits until something may be sent; 0: never more.
func (c *credit) wait() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.left <= 0 && !c.closed {
		c.more.Wait()
	}
	if c.closed {
		return 0
	}
	return c.left
}

func (c *credit) take(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left -= n
}

func (c *credit) give(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = min(c.left+n, ExecWindow)
	c.more.Broadcast()
}

func (c *credit) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.more.Broadcast()
}

// upgrade asks for a connection of another protocol. ctx ends it.
func (c *Client) upgrade(ctx context.Context, path, protocol string, request any) (io.ReadWriteCloser, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(answerTimeout, func() { cancel(errSilent(answerTimeout)) })
	header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {protocol}}
	resp, err := c.doWith(ctx, "POST", path, body, header)
	late.Stop()
	if err != nil {
		cancel(nil)
		return nil, err
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		resp.Body.Close()
		cancel(nil)
		return nil, fmt.Errorf("%s: its daemon does not speak %s: it is another version", c.who, protocol)
	}
	return struct {
		io.ReadWriter
		io.Closer
	}{conn, ending{conn, func() { cancel(nil) }}}, nil
}
