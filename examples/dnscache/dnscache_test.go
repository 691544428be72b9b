package dnscache_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// cache keeps one answer, and takes its first address, as many clients do.
type cache struct {
	from    *plinktest.Instance
	keep    func(ttl time.Duration) time.Duration // how long an answer is kept
	address string
	until   time.Time
}

func (c *cache) lookup(ctx context.Context, name string) (string, error) {
	if time.Now().Before(c.until) {
		return c.address, nil
	}
	records, err := c.from.Resolver().LookupRecords(ctx, name, dns.TypeA)
	if err != nil {
		return "", err
	}
	for _, record := range records {
		if a, ok := record.(*dns.A); ok {
			c.address = a.A.String()
			c.until = time.Now().Add(c.keep(time.Duration(a.Hdr.Ttl) * time.Second))
			return c.address, nil
		}
	}
	return "", &net.DNSError{Err: "no address", Name: name, IsNotFound: true}
}

func (c *cache) get(ctx context.Context, name string) (string, error) {
	address, err := c.lookup(ctx, name)
	if err != nil {
		return "", err
	}
	client := c.from.HTTP()
	client.Timeout = time.Second
	resp, err := client.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &net.AddrError{Err: resp.Status, Addr: address}
	}
	return string(body), err
}

const never = 0

// Each client asks every two seconds. The zone that it uses is lost, and six minutes later
// it is back.
func TestHowLongAClientGoesToALostZone(t *testing.T) {
	const lost, pause = 6 * time.Minute, 2 * time.Second
	for name, c := range map[string]struct {
		keep     func(ttl time.Duration) time.Duration
		min, max time.Duration // how long its requests fail
	}{
		"asks each time":     {keep: func(time.Duration) time.Duration { return never }, max: 0},
		"keeps to the TTL":   {keep: func(ttl time.Duration) time.Duration { return ttl }, min: pause, max: time.Minute + pause},
		"keeps five minutes": {keep: func(time.Duration) time.Duration { return 5 * time.Minute }, min: 4 * time.Minute, max: 5*time.Minute + pause},
		"keeps for ever":     {keep: func(time.Duration) time.Duration { return 24 * time.Hour }, min: lost - 2*pause, max: lost + pause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
				client := &cache{from: lab.Instance("web"), keep: c.keep}
				ask := func() error {
					_, err := client.get(t.Context(), lab.Name("ep"))
					return err
				}
				require.NoError(t, ask())
				zone := "eu-west-1a"
				if client.address == lab.Name("ep@eu-west-1b.ip") {
					zone = "eu-west-1b"
				}

				repair := lab.Fail(zone)
				begin := time.Now()
				last := begin // that a request failed
				for time.Since(begin) < lost {
					if ask() != nil {
						last = time.Now()
					}
					time.Sleep(pause)
				}
				repair()
				lab.Eventually("the zone is back", 10*time.Second, ask)
				failed := last.Sub(begin)
				t.Logf("requests failed for %s", failed)
				require.GreaterOrEqual(t, failed, c.min)
				require.LessOrEqual(t, failed, c.max)
			})
		})
	}
}
