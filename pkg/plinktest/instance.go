package plinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Instance acts on one instance, as a program there would: its sockets are in the
// instance's network, its names come from the resolver of its VPC, and nothing of
// the host plays a part, neither its hosts file nor a proxy.
type Instance struct {
	client *lab.Client
	lab    *Lab
	spec   topology.Instance
}

// Instance is the instance that ref names: ecs1, or vpc1/ecs1.
func (l *Lab) Instance(ref string) *Instance {
	l.t.Helper()
	spec, err := l.Plan().Instance(ref)
	l.must(err)
	client, err := l.lab.Client(ref)
	l.must(err)
	return &Instance{client, l, *spec}
}

// DialContext is as net.Dialer's, from the instance.
func (i *Instance) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return i.client.DialContext(ctx, network, address)
}

// Listen is as net.ListenConfig's, on the instance.
func (i *Instance) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return i.client.Listen(ctx, network, address)
}

// ListenPacket is as net.ListenConfig's, on the instance.
func (i *Instance) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	return i.client.ListenPacket(ctx, network, address)
}

// Resolver finds names as the instance's programs do.
func (i *Instance) Resolver() *dns.Resolver { return i.client.Resolver() }

// HTTP is a client that opens a connection of its own for every request. It trusts
// what programs on the instance trust, the lab's certificates among that.
func (i *Instance) HTTP() *http.Client { return i.client.HTTP() }

// answerTime is how long Dial and Get wait.
const answerTime = 5 * time.Second

// Dial opens a connection, which is closed when the test ends. The host of the
// address may be a reference: ep:5432, ep@zone:80, ep.ip:80. The test fails where
// that takes longer than 5 s, and says where a packet stops and which operation would
// let it pass.
func (i *Instance) Dial(network, address string) net.Conn {
	i.lab.t.Helper()
	ctx, cancel := context.WithTimeout(i.lab.t.Context(), answerTime)
	defer cancel()
	conn, err := i.DialContext(ctx, network, i.resolve(address))
	if err != nil {
		i.lab.t.Fatalf("%s cannot connect to %s: %v\n%s", i.spec.Name, address, err, i.why(network, address))
	}
	i.lab.t.Cleanup(func() { conn.Close() })
	return conn
}

// Get is the body of a page that was answered with 200. The host of the URL may be a
// reference as Dial takes it: http://ep/. The test fails as that of Dial does.
func (i *Instance) Get(url string) string {
	i.lab.t.Helper()
	body, err := i.get(url)
	if err != nil {
		_, address, _ := strings.Cut(url, "://")
		address, _, _ = strings.Cut(address, "/")
		if !strings.Contains(address, ":") {
			address += map[bool]string{true: ":443", false: ":80"}[strings.HasPrefix(url, "https")]
		}
		i.lab.t.Fatalf("%s cannot get %s: %v\n%s", i.spec.Name, url, err, i.why("tcp", address))
	}
	return body
}

func (i *Instance) get(url string) (string, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return "", errors.New("it is not a URL")
	}
	host, path, _ := strings.Cut(rest, "/")
	client := i.HTTP()
	client.Timeout = answerTime
	resp, err := client.Get(scheme + "://" + i.resolve(host) + "/" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return string(body), err
}

// resolve puts the name or address that a reference stands for in its place.
func (i *Instance) resolve(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
	}
	if name, err := i.lab.Plan().Lookup(host); err == nil {
		host = name
	}
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}

func (i *Instance) why(network, address string) string {
	if strings.HasPrefix(network, "udp") {
		address = "udp " + address
	}
	return i.lab.why(i.spec.VPC+"/"+i.spec.Name, address)
}

// Command is as exec.CommandContext, on the instance. The lab must be in the
// kernel, and the package's TestMain must be Main.
func (i *Instance) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	i.lab.t.Helper()
	i.lab.needKernel("run " + program)
	return i.command(ctx, program, args)
}
