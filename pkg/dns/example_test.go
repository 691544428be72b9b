package dns_test

import (
	"fmt"
	"net/netip"

	miekg "github.com/miekg/dns"

	"github.com/plinksim/plinksim/pkg/dns"
)

// A name with zone affinity gives each asker the address of its own zone. When
// that address is not up, it gives the others.
func ExampleView_Answer() {
	name := dns.Name{FQDN: "ep-1.example.internal", Affinity: true, Addrs: []dns.Address{
		{IP: netip.MustParseAddr("10.0.1.200"), Zone: "zone-a", Up: true},
		{IP: netip.MustParseAddr("10.0.2.200"), Zone: "zone-b", Up: false, Why: "zone zone-b is down"},
	}}
	view, err := dns.NewView(dns.Config{
		Subnets: []dns.Subnet{
			{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Zone: "zone-a"},
			{Prefix: netip.MustParsePrefix("10.0.2.0/24"), Zone: "zone-b"},
		},
		Names: []dns.Name{name},
		Zones: []string{"example.internal"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	question := new(miekg.Msg).SetQuestion("ep-1.example.internal.", miekg.TypeA)
	for _, asker := range []string{"10.0.1.10", "10.0.2.10"} {
		reply := view.Answer(question, netip.MustParseAddr(asker))
		fmt.Println(asker, "gets", dns.Data(reply.Answer[0]))
	}
	missing := new(miekg.Msg).SetQuestion("ep-2.example.internal.", miekg.TypeA)
	reply := view.Answer(missing, netip.MustParseAddr("10.0.1.10"))
	fmt.Println(miekg.RcodeToString[reply.Rcode])
	// Output:
	// 10.0.1.10 gets 10.0.1.200
	// 10.0.2.10 gets 10.0.1.200
	// NXDOMAIN
}
