package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
)

// explainBody follows a packet.
type explainBody struct {
	From, To          string
	Instances, Places []choice
	Asked             bool
	Explanation       status.Explanation
	Routes            []route
	Remedies          []remedy
	Refused           *refusal
	Command           string
}

// route is one of an explanation, with the place where it stops.
type route struct {
	status.Route
	Stop string
}

// explain says why a packet does not pass, or that it does.
func (c *Console) explain(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	b := explainBody{From: q.FormValue("from"), To: q.FormValue("to")}
	b.Instances, b.Places = chosenOf(now.instances(), b.From), chosenOf(now.places(), b.To)
	code := http.StatusOK
	if b.Asked = b.From != "" && b.To != ""; b.Asked {
		b.Command = "plinksim explain " + Quote(b.From) + " " + Quote(b.To)
		if b.Explanation, err = c.cfg.Lab.Explain(q.Context(), b.From, b.To); err != nil {
			refused := c.refused(err)
			b.Refused, b.Asked, code = &refused, false, http.StatusUnprocessableEntity
		}
	}
	seen := map[string]bool{}
	add := func(s status.Station) {
		for _, r := range s.Remedies {
			if one := c.remedy(r); !seen[one.Label] {
				seen[one.Label] = true
				b.Remedies = append(b.Remedies, one)
			}
		}
	}
	add(b.Explanation.Name)
	for _, way := range b.Explanation.Ways {
		r := route{Route: way}
		if stop := way.Stops(); stop != nil {
			r.Stop = stop.Name
		}
		for _, s := range way.Stations {
			add(s)
		}
		b.Routes = append(b.Routes, r)
	}
	return q.render(code, "explain", "Why does it not pass?", b)
}

func chosenOf(texts []string, value string) (out []choice) {
	for _, text := range texts {
		out = append(out, choice{text, text == value})
	}
	return out
}

// instances are the names of the lab's instances as commands take them.
func (s *snapshot) instances() []string {
	return once(s, "names of instances", func() (names []string) {
		count := map[string]int{}
		for _, v := range s.plan.VPCs {
			for _, i := range v.Instances {
				count[i.Name]++
			}
		}
		for _, v := range s.plan.VPCs {
			for _, i := range v.Instances {
				if name := i.Name; count[name] == 1 {
					names = append(names, name)
				} else {
					names = append(names, v.Name+"/"+name)
				}
			}
		}
		return names
	})
}

// places are what packets may be sent to.
func (s *snapshot) places() []string {
	return once(s, "places", func() (names []string) {
		for _, ep := range s.Endpoints {
			names = append(names, ep.Name)
			for _, z := range ep.Zones {
				names = append(names, ep.Name+"@"+z.Zone)
			}
		}
		for _, lb := range s.LoadBalancers {
			names = append(names, lb.Name+".ip")
		}
		return append(names, s.instances()...)
	})
}

// namesBody is a question to a resolver.
type namesBody struct {
	From, Name, Type        string
	Instances, Names, Types []choice
	Asked                   bool
	Answer                  status.NameAnswer
	Refused                 *refusal
	Command                 string
}

func (c *Console) names(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	b := namesBody{From: q.FormValue("from"), Name: q.FormValue("name"), Type: q.FormValue("type")}
	if b.Type == "" {
		b.Type = "A"
	}
	b.Instances, b.Types = chosenOf(now.instances(), b.From), chosenOf(status.QueryTypes(), b.Type)
	for _, ep := range now.Endpoints {
		b.Names = append(b.Names, choice{Value: ep.Domain})
		for _, z := range ep.Zones {
			b.Names = append(b.Names, choice{Value: z.Domain})
		}
	}
	code := http.StatusOK
	if b.Asked = b.From != "" && b.Name != ""; b.Asked {
		b.Command = "plinksim dns query " + Quote(b.Name) + " " + Quote(b.Type) + " --from " + Quote(b.From)
		if b.Answer, err = c.cfg.Lab.Query(q.Context(), b.From, b.Name, b.Type); err != nil {
			refused := c.refused(err)
			b.Refused, b.Asked, code = &refused, false, http.StatusUnprocessableEntity
		}
	}
	return q.render(code, "names", "Names", b)
}

// sessionsBody are sessions.
type sessionsBody struct {
	Query      string
	Sessions   []status.Session
	All, Found int
	TooMany    bool
}

const (
	// mostSessions is how many are shown, and mostCopied of how many a copy is made.
	mostSessions = 300
	mostCopied   = 20_000
)

func (c *Console) sessions(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	b := sessionsBody{Query: q.FormValue("q"), All: now.Dataplane.Sessions}
	if b.TooMany = b.All > mostCopied; !b.TooMany {
		all, err := c.cfg.Lab.Sessions(q.Context())
		if err != nil {
			return err
		}
		b.All = len(all)
		for _, s := range all {
			text := fmt.Sprint(s.Link, " ", s.Protocol, " ", s.State, " ", s.Consumer, " ", s.Endpoint, " ", s.NAT, " ", s.Target)
			if !contains(text, b.Query) {
				continue
			}
			if b.Found++; b.Found <= mostSessions {
				b.Sessions = append(b.Sessions, s)
			}
		}
	}
	return q.render(http.StatusOK, "sessions", "Sessions", b)
}

// captureBody are packets.
type captureBody struct {
	ENI, Host, Port, Count, Seconds string
	ENIs                            []choice
	Asked                           bool
	Packets                         []seenPacket
	Refused                         *refusal
	Download                        string
}

type seenPacket struct {
	Time                        time.Time
	ENI, Arrow, Packet, Becomes string
}

const (
	// mostPackets bounds what a capture shows, and mostRecorded what it records in a file.
	mostPackets  = 200
	mostRecorded = 100_000
	// longestCapture is how many seconds one goes on.
	longestCapture = 60
)

// capture shows packets as they pass.
func (c *Console) capture(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	b := captureBody{
		ENI: q.FormValue("eni"), Host: q.FormValue("host"), Port: q.FormValue("port"), Count: q.FormValue("count"),
		Seconds: q.FormValue("seconds"), ENIs: chosenOf(now.enis(), q.FormValue("eni")),
	}
	code := http.StatusOK
	if b.Asked = q.Form.Has("count"); b.Asked {
		b.Download = "/capture.pcapng?" + q.Form.Encode()
		opts, ctx, cancel, err := q.captureOptions(mostPackets)
		if err == nil {
			defer cancel()
			err = c.cfg.Lab.Capture(ctx, opts, func(r io.Reader) error {
				return eachPacket(r, func(p seenPacket) { b.Packets = append(b.Packets, p) })
			})
			if ctx.Err() != nil {
				err = nil // it was long enough
			}
		}
		if err != nil {
			refused := c.refused(err)
			b.Refused, b.Asked, code = &refused, false, http.StatusUnprocessableEntity
		}
	} else {
		b.Count, b.Seconds = "20", "10"
	}
	return q.render(code, "capture", "Capture", b)
}

func eachPacket(r io.Reader, each func(seenPacket)) error {
	reader, err := pcap.NewReader(r)
	if err != nil {
		return err
	}
	for {
		var p pcap.Packet
		if err := reader.Next(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		arrow := "arrives"
		if p.Direction == pcap.Sent {
			arrow = "leaves"
		}
		each(seenPacket{time.Unix(0, p.Time), p.Interface, arrow, packet.Text(p.Data), p.Comment})
	}
}

// captureFile records packets as pcapng.
func (c *Console) captureFile(q *request) error {
	opts, ctx, cancel, err := q.captureOptions(mostRecorded)
	if err != nil {
		return err
	}
	defer cancel()
	return c.cfg.Lab.Capture(ctx, opts, func(r io.Reader) error {
		q.w.Header().Set("Content-Type", "application/x-pcapng")
		q.w.Header().Set("Content-Disposition", `attachment; filename="`+c.cfg.Name+`.pcapng"`)
		_, _, err := pcap.CopyBlocks(q.w, r, nil)
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("record packets", "error", err)
		}
		return nil // what was sent cannot be taken back
	})
}

// captureOptions reads what is captured, and how long.
func (q *request) captureOptions(most int) (status.CaptureOptions, context.Context, func(), error) {
	var opts status.CaptureOptions
	fail := func(format string, args ...any) (status.CaptureOptions, context.Context, func(), error) {
		return opts, nil, nil, badRequest(format, args...)
	}
	if eni := q.FormValue("eni"); eni != "" {
		opts.ENIs = []string{eni}
	}
	if host := q.FormValue("host"); host != "" {
		var err error
		if opts.Host, err = netip.ParseAddr(host); err != nil {
			return fail("%q is not an address", host)
		}
	}
	if port := q.FormValue("port"); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return fail("%q is not a port", port)
		}
		opts.Port = uint16(n)
	}
	count, err := strconv.Atoi(q.FormValue("count"))
	if err != nil || count < 1 || count > most {
		return fail("%q packets: want 1 to %d", q.FormValue("count"), most)
	}
	opts.Count = count
	seconds, err := strconv.Atoi(q.FormValue("seconds"))
	if err != nil || seconds < 1 || seconds > longestCapture {
		return fail("%q seconds: want 1 to %d", q.FormValue("seconds"), longestCapture)
	}
	ctx, cancel := context.WithTimeout(q.Context(), time.Duration(seconds)*time.Second)
	return opts, ctx, cancel, nil
}

// enis are the names of the lab's ENIs.
func (s *snapshot) enis() (names []string) {
	for _, eni := range s.plan.ENIs() {
		names = append(names, eni.Name)
	}
	slices.Sort(names)
	return names
}
