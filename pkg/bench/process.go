package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
)

// process is a generator inside a namespace.
type process struct {
	cmd *exec.Cmd
	in  *os.File
	out *os.File
	enc *json.Encoder
	dec *json.Decoder
}

// startProcess runs this program again in a namespace of the lab.
func startProcess(dir labdir.Dir, namespace string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	orders, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, answers, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, orders.Close(), in.Close())
	}
	cmd := exec.Command(self, kernel.EnterCommand, string(dir), namespace, self, GeneratorCommand)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = orders, answers, os.Stderr
	// A group of its own: ctrl-C on the terminal is for us, and we end it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	orders.Close()
	answers.Close()
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	return &process{cmd: cmd, in: in, out: out, enc: json.NewEncoder(in), dec: json.NewDecoder(out)}, nil
}

// do gives an order and waits for the answer.
func (p *process) do(ctx context.Context, o order) (answer, error) {
	if err := p.give(o); err != nil {
		return answer{}, err
	}
	return p.wait(ctx)
}

func (p *process) give(o order) error {
	if err := p.enc.Encode(o); err != nil {
		return fmt.Errorf("speak to a generator: %w", err)
	}
	return nil
}

// wait waits for the answer to the last order. When ctx ends before that, the
// process must not be used again.
func (p *process) wait(ctx context.Context) (a answer, err error) {
	stop := context.AfterFunc(ctx, func() { _ = p.out.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := p.dec.Decode(&a); err != nil {
		if ctx.Err() != nil {
			return a, context.Cause(ctx)
		}
		return a, fmt.Errorf("listen to a generator: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// close ends the process.
func (p *process) close() error {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it says that the process was killed
	return errors.Join(p.in.Close(), p.out.Close())
}
