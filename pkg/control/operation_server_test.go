package control_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// backed is a plan with a server group in vpc2 of account b.
func backed() *topology.Plan {
	in := func(vpc, name string) topology.Instance { return topology.Instance{Name: name, VPC: vpc, Zone: "h"} }
	return &topology.Plan{
		Name: "backed", Cloud: topology.Alibaba, Profile: topology.Alibaba.Profile(),
		Accounts: []topology.Account{{Name: "a"}, {Name: "b"}},
		VPCs: []topology.VPC{
			{Name: "vpc1", Account: "a", Instances: []topology.Instance{in("vpc1", "ecs1")}},
			{
				Name: "vpc2", Account: "b", Instances: []topology.Instance{in("vpc2", "ecs2"), in("vpc2", "ecs3")},
				Subnets: []topology.Subnet{{Name: "h2", Zone: "h", CIDR: netip.MustParsePrefix("192.168.0.0/24")}},
			},
		},
		ServerGroups: []topology.ServerGroup{{Name: "rs1", VPC: "vpc2", Servers: []topology.Server{
			{Instance: "vpc2/ecs2", Zone: "h", Port: 80, Weight: 100}, {Instance: "vpc2/ecs2", Zone: "h", Port: 81, Weight: 50},
		}}},
	}
}

func server(verb, text string, weight int) topology.Operation {
	o := topology.Operation{Verb: topology.Verb("server-" + verb), ServerGroup: "rs1", Server: text}
	if weight >= 0 {
		o.Weight = &weight
	}
	return o
}

// members are the servers of rs1 as they are now.
func members(p *control.Plane) string {
	var out []string
	for _, s := range p.State().Plan.ServerGroups[0].Servers {
		out = append(out, fmt.Sprintf("%s:%d=%d", strings.TrimPrefix(s.Name(), "vpc2/"), s.Port, s.Weight))
	}
	return strings.Join(out, " ")
}

func newBacked(t *testing.T, plan *topology.Plan) *control.Plane {
	t.Helper()
	p, err := control.NewPlane(plan, time.Now)
	require.NoError(t, err)
	return p
}

func TestServersComeAndGo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    []topology.Operation
		want  string
		event string // of the last operation
	}{
		{"one joins", []topology.Operation{server("register", "ecs3:80", -1)}, "ecs2:80=100 ecs2:81=50 ecs3:80=100",
			`account "b" registered server "ecs3:80" with server group "rs1"`},
		{"one joins with a weight", []topology.Operation{server("register", "vpc2/ecs3:80", 7)}, "ecs2:80=100 ecs2:81=50 ecs3:80=7",
			`account "b" registered server "ecs3:80" with server group "rs1"`},
		{"an address joins", []topology.Operation{server("register", "192.168.0.9:80", 5)}, "ecs2:80=100 ecs2:81=50 192.168.0.9:80=5",
			`account "b" registered server "192.168.0.9:80" with server group "rs1"`},
		{"and leaves", []topology.Operation{server("register", "192.168.0.9:80", 5), server("deregister", "192.168.0.9", -1)}, "ecs2:80=100 ecs2:81=50",
			`account "b" deregistered server "192.168.0.9:80" from server group "rs1"`},
		{"one of the file leaves", []topology.Operation{server("deregister", "ecs2:81", -1)}, "ecs2:80=100",
			`account "b" deregistered server "ecs2:81" from server group "rs1"`},
		{"and comes back with the weight of the file", []topology.Operation{server("weight", "ecs2:81", 3), server("deregister", "ecs2:81", -1), server("register", "ecs2:81", -1)},
			"ecs2:80=100 ecs2:81=50", `account "b" registered server "ecs2:81" with server group "rs1"`},
		{"one that is in the group once needs no port", []topology.Operation{server("register", "ecs3:80", -1), server("weight", "ecs3", 0)}, "ecs2:80=100 ecs2:81=50 ecs3:80=0",
			`account "b" gave server "ecs3:80" of server group "rs1" weight 0`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newBacked(t, backed())
			var last control.Event
			for _, o := range tt.do {
				var err error
				last, err = p.Do(o)
				require.NoError(t, err)
			}
			require.Equal(t, tt.want, members(p))
			require.Equal(t, tt.event, last.Text)
		})
	}
}

func TestServersThatAreRefused(t *testing.T) {
	as := func(account string, o topology.Operation) topology.Operation { o.As = account; return o }
	in := func(group string, o topology.Operation) topology.Operation { o.ServerGroup = group; return o }
	for _, tt := range []struct {
		name       string
		do         topology.Operation
		code       topology.Refusal
		text, hint string
	}{
		{"the group does not exist", in("rs9", server("register", "ecs3:80", -1)), topology.NotFound, `server group "rs9" does not exist`, `there is "rs1"`},
		{"another account's group", as("a", server("register", "ecs3:80", -1)), topology.NotOwner, `account "a" may not manage server group "rs1"`, `"rs1" belongs to account "b", and only its owner may`},
		{"it is there already", server("register", "ecs2:80", -1), topology.WrongState, `server "ecs2:80" is in server group "rs1" already`, "there is nothing to do"},
		{"it has no port", server("register", "ecs3", -1), topology.Invalid, `server "ecs3" has no port`, "write it like ecs2:80"},
		{"its port is none", server("register", "ecs3:0", -1), topology.Invalid, `"0" is no port of a server: want 1 to 65535`, "write it like ecs2:80"},
		{"its instance does not exist", server("register", "ecs9:80", -1), topology.NotFound, `instance "ecs9" does not exist`, `there is "ecs2", "ecs3"`},
		{"its instance is elsewhere", server("register", "vpc1/ecs1:80", -1), topology.Invalid, `instance "vpc1/ecs1" is in vpc "vpc1", and the server group in vpc "vpc2"`, `choose an instance of vpc "vpc2"`},
		{"its address is in no subnet", server("register", "10.9.0.1:80", -1), topology.Invalid, `server "10.9.0.1:80" is in no subnet of vpc "vpc2"`, "choose an address of its subnets"},
		{"its weight is too large", server("register", "ecs3:80", 101), topology.Invalid, "a server cannot have weight 101", "choose 0 to 100"},
		{"it is not in the group", server("deregister", "ecs3:80", -1), topology.NotFound, `server "ecs3:80" is not in server group "rs1"`, `it has "ecs2:80", "ecs2:81"`},
		{"it may be several", server("deregister", "ecs2", -1), topology.Invalid, `server group "rs1" has several servers on instance "ecs2"`, `name its port: "ecs2:80", "ecs2:81"`},
		{"no weight is named", server("weight", "ecs2:80", -1), topology.Invalid, `server "ecs2:80" needs a weight`, "name a weight from 0 to 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newBacked(t, backed())
			before := p.State()
			_, err := p.Do(tt.do)
			var refused *control.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.code, refused.Code)
			require.Equal(t, tt.text, refused.Text)
			require.Equal(t, tt.hint, refused.Advice())
			require.Equal(t, before, p.State(), "nothing has changed")
		})
	}
}

func TestServersStayAsTheyWereChanged(t *testing.T) {
	p := newBacked(t, backed())
	for _, o := range []topology.Operation{server("register", "ecs3:80", 9), server("deregister", "ecs2:81", -1), server("weight", "ecs2:80", 1)} {
		_, err := p.Do(o)
		require.NoError(t, err)
	}
	const now = "ecs2:80=1 ecs3:80=9"
	require.Equal(t, now, members(p))

	saved, err := p.Save()
	require.NoError(t, err)
	again := newBacked(t, backed())
	require.NoError(t, again.Restore(saved))
	require.Equal(t, now, members(again), "over a restart")

	changed := backed()
	changed.VPCs[1].Instances = changed.VPCs[1].Instances[:1]
	require.NoError(t, p.Apply(changed))
	require.Equal(t, "ecs2:80=1", members(p), "over a changed file, but for instances that are gone")

	p.Reset()
	require.Equal(t, "ecs2:80=100 ecs2:81=50", members(p))
}
