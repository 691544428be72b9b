package dns_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/dns"
)

// drawName draws a name of a few labels, so that one is often below another.
func drawName(t *rapid.T, label string) string {
	labels := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 4).Draw(t, label)
	return strings.Join(labels, ".") + ".test"
}

func drawNames(t *rapid.T, label string, most int) (names []dns.Name) {
	for _, fqdn := range rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string { return drawName(t, label) }),
		0, most, rapid.ID).Draw(t, label+"s") {
		n := dns.Name{FQDN: fqdn}
		for i := range rapid.IntRange(1, 2).Draw(t, "addresses") {
			last := byte(rapid.IntRange(1, 3).Draw(t, "address") + 3*i)
			n.Addrs = append(n.Addrs, dns.Address{IP: netip.AddrFrom4([4]byte{10, 0, 0, last}), Up: true})
		}
		names = append(names, n)
	}
	return names
}

// A view of public names and its own answers as one of all names that are not
// hidden.
func TestPublicNamesAreAnsweredAsIfTheyWereTheViewsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := func(label string) []string {
			return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string { return drawName(t, label) }),
				0, 2, rapid.ID).Draw(t, label+"s")
		}
		public := dns.Config{TTL: ttl, Names: drawNames(t, "public name", 6), Zones: zones("public zone")}
		own := dns.Config{TTL: ttl, Names: drawNames(t, "own name", 3), Zones: zones("own zone")}
		own.Hides = own.Zones[:rapid.IntRange(0, len(own.Zones)).Draw(t, "hiding zones")]
		hidden := func(name string) bool {
			return slices.ContainsFunc(own.Hides, func(d string) bool { return miekg.IsSubDomain(d+".", name+".") })
		}

		whole := dns.Config{TTL: ttl, Names: slices.Clone(own.Names), Zones: slices.Clone(own.Zones)}
		for _, n := range public.Names {
			if !hidden(n.FQDN) {
				whole.Names = append(whole.Names, n)
			}
		}
		for _, zone := range public.Zones {
			if !hidden(zone) && !slices.Contains(whole.Zones, zone) {
				whole.Zones = append(whole.Zones, zone)
			}
		}
		before, err := dns.NewPublic(dns.Config{TTL: ttl, Names: public.Names[:len(public.Names)/2], Zones: public.Zones}, nil)
		require.NoError(t, err)
		shared, err := dns.NewPublic(public, before)
		require.NoError(t, err)
		want, wantErr := dns.NewView(whole)
		got, gotErr := dns.NewViewWith(shared, own)
		require.Equal(t, wantErr == nil, gotErr == nil, "%v; %v", wantErr, gotErr)
		if wantErr != nil {
			return
		}
		if old, err := dns.NewViewWith(before, own); err == nil {
			got, err = old.With(shared)
			require.NoError(t, err)
		}
		questions := []string{"1.0.0.10.in-addr.arpa. PTR", "0.0.10.in-addr.arpa. SOA"}
		for i := range 7 {
			questions = append(questions, fmt.Sprintf("%d.0.0.10.in-addr.arpa. PTR", i))
		}
		for range 20 {
			questions = append(questions, drawName(t, "question")+rapid.SampledFrom([]string{" A", " SOA"}).Draw(t, "type"))
		}
		for _, q := range questions {
			require.Equal(t, say(want.Answer(question(q), inH)), say(got.Answer(question(q), inH)), q)
		}
	})
}
