package console

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// tryBody are requests from an instance, as a user of it would send them.
type tryBody struct {
	From, To, Send, Times string
	Instances, Places     []choice
	Result                *status.Check
	Refused               *refusal
	Command               string
}

const (
	// mostTries is how many requests are sent at once.
	mostTries = 1000
	// tryFor is how long one of them may take.
	tryFor = "5s"
)

// tryPage asks what is to be sent.
func (c *Console) tryPage(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	return q.tried(http.StatusOK, now, tryBody{From: q.FormValue("from"), To: q.FormValue("to"), Times: "1"})
}

func (q *request) tried(code int, now *snapshot, b tryBody) error {
	b.Instances, b.Places = chosenOf(now.instances(), b.From), chosenOf(now.targets(), "")
	return q.render(code, "try", "Try it", b)
}

// try sends requests from an instance and shows what came.
func (c *Console) try(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	b := tryBody{From: q.FormValue("from"), To: strings.TrimSpace(q.FormValue("to")), Send: q.FormValue("send"), Times: q.FormValue("times")}
	check, command, err := b.check(now.plan)
	if err == nil {
		err = c.cfg.Lab.Check(q.Context(), api.CheckCall{File: check, AsItIs: true}, func(result status.Check) error {
			b.Result = &result
			return nil
		})
	}
	if err != nil {
		refused := c.refused(err)
		b.Refused, b.Result = &refused, nil
		return q.tried(http.StatusUnprocessableEntity, now, b)
	}
	b.Command = command
	c.steps.add(done{Command: command, Text: b.Result.Got})
	c.live.forget()
	return q.tried(http.StatusOK, now, b)
}

// check is the text of a file with the check that tries it, and the command line that does
// the same.
func (b tryBody) check(plan *topology.Plan) (text []byte, command string, err error) {
	times, err := strconv.Atoi(b.Times)
	if err != nil || times < 1 || times > mostTries {
		return nil, "", fmt.Errorf("%q times: want 1 to %d", b.Times, mostTries)
	}
	one := map[string]any{"name": "try", "from": b.From, "timeout": tryFor, "times": times}
	within := "plinksim exec " + Quote(b.From) + " -- "
	if scheme, rest, ok := strings.Cut(b.To, "://"); ok { // ep1@zone is a place, and no user of one
		where, path, slash := strings.Cut(rest, "/")
		one["get"] = scheme + "://" + named(plan, where)
		if slash {
			one["get"] = scheme + "://" + named(plan, where) + "/" + path
		}
		return marshalled(one), within + "curl " + Quote(fmt.Sprint(one["get"])), nil
	}
	host, port, err := net.SplitHostPort(named(plan, b.To))
	if err != nil {
		return nil, "", fmt.Errorf("%q: want a URL, or HOST:PORT", b.To)
	}
	one["connect"] = net.JoinHostPort(host, port)
	script := "</dev/tcp/" + host + "/" + port
	if b.Send != "" {
		one["send"] = b.Send
		script = "exec 3<>/dev/tcp/" + host + "/" + port + "; echo " + Quote(b.Send) + " >&3; head -1 <&3"
	}
	return marshalled(one), within + "bash -c " + Quote(script), nil
}

func marshalled(check map[string]any) []byte {
	text, err := yaml.Marshal(map[string]any{"checks": []any{check}})
	if err != nil {
		panic("texts and numbers: " + err.Error())
	}
	return text
}

// named replaces the name of an object in HOST or HOST:PORT by its domain name, or by its
// address where it has none.
func named(plan *topology.Plan, place string) string {
	name, port, colon := strings.Cut(place, ":")
	if _, err := netip.ParseAddr(name); err == nil {
		return place
	}
	text, err := plan.Lookup(name)
	if err != nil {
		text, err = plan.Lookup(name + ".ip")
	}
	switch {
	case err != nil:
		return place
	case colon:
		return net.JoinHostPort(text, port)
	}
	return text
}

// targets are what requests are sent to.
func (s *snapshot) targets() []string {
	return once(s, "targets", func() (out []string) {
		for _, place := range s.places() {
			out = append(out, "http://"+place+"/")
		}
		return out
	})
}
