package console

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// objectBody is one object.
type objectBody struct {
	Path, Name, Kind, State string
	Within                  []crumb
	Actions, More           []button
	Facts                   []fact
	Tables                  []table
	Connections             []connection // of a service
	Keys                    []keyRow
	Free                    []keyRow // keys that it could have
	Picture                 picture
	Events                  []control.Event
	Looks                   []button // pages that look into it
}

type crumb struct{ Name, URL string }

type button struct {
	Label, URL, Title string
	Danger            bool
}

type fact struct {
	Label string
	Cell  cell
}

type cell struct {
	Text, URL string
	State     bool // it is a state
}

type table struct {
	Title string
	Head  []string
	Rows  [][]cell
}

// keyRow is a key of an object in the topology file.
type keyRow struct{ Name, Doc, Value, URL string }

// connection is a row of a service's endpoints, with what its owner can do.
type connection struct {
	status.Endpoint
	URL     string
	Buttons []button
}

func (c *Console) object(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	path := q.PathValue("path")
	pattern, names := c.patternOf(path)
	parts := topology.SplitPath(path)
	if pattern == "" {
		return notFound("there is no kind of objects at %q", path)
	}
	name := names[len(names)-1]
	b := objectBody{Path: path, Name: name, Kind: c.kindName(now, pattern)}
	value := now.object(parts)
	if instance, ok := value.(*status.Instance); ok {
		counts, err := c.live.counts(q.Context())
		if err != nil {
			return err
		}
		with := *instance
		with.Denied, with.Spoofed = counts[instance.ID].denied, counts[instance.ID].spoofed
		value = &with
	}
	_, inFile := now.doc.Value(path)
	if value == nil && !inFile {
		return notFound("%s %q does not exist, or not any more", b.Kind, name)
	}
	for n := 2; n < len(parts); n += 2 {
		b.Within = append(b.Within, crumb{parts[n-1], objectURL(topology.JoinPath(parts[:n]...))})
	}
	if value != nil {
		b.Facts, b.Tables, b.State = now.describe(value)
	}
	b.Actions, b.More = c.buttons(now, path)
	if parts[0] == "endpoint_services" {
		b.Connections = c.connections(now, name)
	}
	if inFile {
		b.keys(now, pattern)
	}
	b.Looks = now.looks(parts)
	b.Picture = c.around(now, path)
	b.Events = c.live.newest(10, func(e control.Event) bool { return tellsOf(e, path, name) })
	return q.render(http.StatusOK, "object", name, b)
}

// looks are the pages that show what becomes of the packets of an object.
func (s *snapshot) looks(parts []string) []button {
	name := parts[len(parts)-1]
	page := func(label, path, key, value string) button {
		return button{Label: label, URL: path + "?" + url.Values{key: {value}}.Encode()}
	}
	switch {
	case parts[0] == "endpoints":
		return []button{page("Why not?", "/explain", "to", name), page("Sessions", "/sessions", "q", name+"@")}
	case len(parts) == 4 && parts[2] == "instances":
		if names := s.instances(); !slices.Contains(names, name) {
			name = parts[1] + "/" + name
		}
		return []button{page("Try it", "/try", "from", name), page("Why not?", "/explain", "from", name), page("Ask for a name", "/names", "from", name)}
	}
	return nil
}

func (c *Console) kindName(now *snapshot, pattern string) string {
	i := slices.IndexFunc(c.cfg.Kinds, func(k Kind) bool { return k.Pattern == pattern })
	return now.plan.Cloud.Say(c.cfg.Kinds[i].Name)
}

// tellsOf says whether an event is about an object.
func tellsOf(e control.Event, path, name string) bool {
	if strings.Contains(e.Name, "/") && (e.Name == path || strings.HasPrefix(e.Name, path+"/")) {
		return true
	}
	words := strings.FieldsFunc(e.Name, func(r rune) bool { return strings.ContainsRune("/@: ", r) })
	return slices.Contains(words, name)
}

// buttons are the actions for an object, those that delete it last. More are those that
// want another object too, and those that create one in it.
func (c *Console) buttons(now *snapshot, path string) (own, more []button) {
	for _, a := range c.actionsFor(path) {
		values := c.valuesFor(a, path)
		if ep := now.endpoint(path); ep != nil && a.Does != Creates && a.has("service") {
			values.Set("service", ep.Service)
		}
		open := 0 // arguments that the object does not decide
		for _, f := range a.Fields {
			if f.Argument && f.Required && values.Get(f.Name) == "" {
				open++
			}
		}
		values.Set("back", objectURL(path))
		b := button{
			Label: a.title(now.plan.Cloud), Title: a.Short, URL: a.URL() + "?" + values.Encode(),
			Danger: a.Does == Deletes,
		}
		if open == 0 {
			own = append(own, b)
		} else {
			more = append(more, b)
		}
	}
	for _, list := range [][]button{own, more} {
		slices.SortStableFunc(list, func(x, y button) int {
			switch {
			case x.Danger == y.Danger:
				return 0
			case y.Danger:
				return -1
			}
			return 1
		})
	}
	return own, more
}

// connections are those of a service, each with what its state allows.
func (c *Console) connections(now *snapshot, service string) (out []connection) {
	for _, ep := range now.Endpoints {
		if ep.Service != service {
			continue
		}
		row := connection{Endpoint: ep, URL: objectURL(topology.JoinPath("endpoints", ep.Name))}
		for _, verb := range ep.Actions {
			a := c.actionOf(topology.Verb(verb))
			if a == nil {
				continue
			}
			values := c.valuesFor(a, topology.JoinPath("endpoints", ep.Name))
			values.Set("service", service)
			values.Set("back", objectURL(topology.JoinPath("endpoint_services", service)))
			row.Buttons = append(row.Buttons, button{
				Label: a.title(now.plan.Cloud), URL: a.URL() + "?" + values.Encode(), Title: a.Short,
			})
		}
		out = append(out, row)
	}
	return out
}

func (b *objectBody) keys(now *snapshot, pattern string) {
	for _, key := range topofile.KeysAt(pattern) {
		at := b.Path + "/" + topology.JoinPath(key.Name)
		row := keyRow{Name: key.Name, Doc: key.Doc, URL: "/change/" + strings.TrimPrefix(objectURL(at), "/o/")}
		if value, ok := now.doc.Value(at); ok {
			row.Value = value
			b.Keys = append(b.Keys, row)
		} else {
			b.Free = append(b.Free, row)
		}
	}
}

// object is what the status says of the object at a path, nil where it says nothing.
func (s *snapshot) object(parts []string) any {
	name := parts[len(parts)-1]
	switch parts[0] {
	case "endpoint_services":
		return find(s.Services, func(o *status.EndpointService) bool { return o.Name == name })
	case "endpoints":
		return find(s.Endpoints, func(o *status.Endpoint) bool { return o.Name == name })
	case "load_balancers":
		return find(s.LoadBalancers, func(o *status.LoadBalancer) bool { return o.Name == name })
	case "server_groups":
		return find(s.ServerGroups, func(o *status.ServerGroup) bool { return o.Name == name })
	case "nat_gateways":
		gateway := find(s.NATGateways, func(o *status.NATGateway) bool { return o.Name == parts[1] })
		if gateway, ok := gateway.(*status.NATGateway); ok && len(parts) == 4 {
			return find(gateway.Entries, func(o *status.FullNATEntry) bool { return o.Name == name })
		}
		return gateway
	case "vpcs":
		vpc, ok := find(s.VPCs, func(o *status.VPC) bool { return o.Name == parts[1] }).(*status.VPC)
		switch {
		case !ok:
		case len(parts) == 2:
			return vpc
		case parts[2] == "instances":
			if i, err := s.plan.Instance(parts[1] + "/" + name); err == nil {
				return find(vpc.Instances, func(o *status.Instance) bool { return o.ID == i.ID })
			}
		}
	}
	return nil
}

func find[T any](list []T, is func(*T) bool) any {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// endpoint is the one at a path, nil where there is none.
func (s *snapshot) endpoint(path string) *status.Endpoint {
	ep, _ := s.object(topology.SplitPath(path)).(*status.Endpoint)
	return ep
}

// describe makes facts of a struct's single values, and a table of each list of structs:
// what is added to the status is shown without further work.
func (s *snapshot) describe(of any) (facts []fact, tables []table, state string) {
	v := reflect.Indirect(reflect.ValueOf(of))
	within := textField(v, "VPC")
	if vpc, ok := of.(*status.VPC); ok {
		within = vpc.Name
	}
	for i := range v.NumField() {
		key, f := keyOf(v.Type().Field(i)), v.Field(i)
		switch {
		case key == "name", key == "", f.IsZero() && f.Kind() != reflect.Bool:
		case f.Kind() == reflect.Slice && f.Len() > 0 && isRecord(f.Type().Elem()):
			tables = append(tables, s.tableOf(key, f, within))
		case f.Kind() == reflect.Pointer && isRecord(f.Type().Elem()):
			inner, _, _ := s.describe(f.Interface())
			for _, row := range inner {
				row.Label = words(key) + ": " + row.Label
				facts = append(facts, row)
			}
		default:
			c := s.cell(key, f, within)
			if c.State && (state == "" || key == "state") {
				state = c.Text
			}
			facts = append(facts, fact{words(key), c})
		}
	}
	return facts, tables, state
}

func (s *snapshot) tableOf(key string, list reflect.Value, within string) table {
	t := table{Title: words(key)}
	typ := list.Type().Elem()
	var columns []int
	for i := range typ.NumField() {
		says := false // something, in one of the rows
		for n := range list.Len() {
			says = says || !list.Index(n).Field(i).IsZero()
		}
		if says && keyOf(typ.Field(i)) != "" {
			columns = append(columns, i)
		}
	}
	for _, i := range columns {
		t.Head = append(t.Head, words(keyOf(typ.Field(i))))
	}
	for n := range list.Len() {
		var row []cell
		for _, i := range columns {
			row = append(row, s.cell(keyOf(typ.Field(i)), list.Index(n).Field(i), within))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// isRecord says whether a type is a struct of several values, and not one value.
func isRecord(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !t.Implements(reflect.TypeFor[fmt.Stringer]())
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return key
}

// words is a key as people read it.
func words(key string) string {
	for _, of := range []struct{ key, word string }{
		{"bandwidth_mbit", "bandwidth, Mbit/s"}, {"full_nat", "FullNAT entries"}, {"nat", "NAT IP and port"},
		{"source_dest_check", "source/destination check"}, {"full_nat_table_id", "FullNAT table ID"}, {"endpoint_state", "status"},
	} {
		if of.key == key {
			return of.word
		}
	}
	parts := strings.FieldsFunc(key, func(r rune) bool { return r == '_' || r == ' ' })
	for i, part := range parts {
		if one := strings.TrimSuffix(part, "s"); slices.Contains(abbreviated, one) {
			parts[i] = strings.ToUpper(one) + part[len(one):]
		}
	}
	return strings.ReplaceAll(strings.Join(parts, " "), "IPV6", "IPv6")
}

// abbreviated are the words of keys that are abbreviations.
var abbreviated = []string{"cidr", "dns", "eni", "http", "https", "icmp", "id", "ip", "ipv6", "mtu", "nat", "tcp", "tls", "udp", "vpc"}

func textField(v reflect.Value, name string) string {
	if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}

// cell is a value as people read it, with a link where it names an object.
func (s *snapshot) cell(key string, v reflect.Value, within string) cell {
	switch value := v.Interface().(type) {
	case time.Time:
		return cell{Text: value.Local().Format("2006-01-02 15:04:05")}
	case bool:
		if key == "healthy" {
			return cell{Text: map[bool]string{true: "healthy", false: "unhealthy"}[value], State: true}
		}
		return cell{Text: map[bool]string{true: "yes", false: "no"}[value]}
	case netip.Prefix, netip.Addr, netip.AddrPort:
		if v.IsZero() {
			return cell{}
		}
		return cell{Text: fmt.Sprint(value)}
	case string:
		c := cell{Text: value, State: key == "state" || key == "endpoint_state"}
		if path := s.pathOf(key, value, within); path != "" {
			c.URL = objectURL(path)
		}
		return c
	case []string:
		return cell{Text: strings.Join(value, ", ")}
	}
	if v.Kind() == reflect.Slice {
		var texts []string
		for i := range v.Len() {
			if e := v.Index(i); isRecord(e.Type()) {
				texts = append(texts, record(e))
			} else {
				texts = append(texts, fmt.Sprint(e.Interface()))
			}
		}
		return cell{Text: strings.Join(texts, ", ")}
	}
	return cell{Text: fmt.Sprint(v.Interface())}
}

// record is a struct within a cell: its texts.
func record(v reflect.Value) string {
	var texts []string
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			texts = append(texts, fmt.Sprint(f.Interface()))
		}
	}
	return strings.Join(texts, " ")
}

// pathOf is the path of the object that a key's value names, "" where it names none.
func (s *snapshot) pathOf(key, value, within string) string {
	var path string
	switch key {
	case "service":
		path = topology.JoinPath("endpoint_services", value)
	case "endpoint":
		path = topology.JoinPath("endpoints", value)
	case "load_balancer", "server_group":
		path = topology.JoinPath(key+"s", value)
	case "vpc":
		path = topology.JoinPath("vpcs", value)
	case "subnet":
		path = topology.JoinPath("vpcs", within, "subnets", value)
	case "instance", "name":
		if i, err := s.plan.Instance(value); err == nil && value != "" {
			path = topology.JoinPath("vpcs", i.VPC, "instances", i.Name)
		}
	}
	if path == "" {
		return ""
	}
	if _, ok := s.doc.Value(path); !ok {
		return ""
	}
	return path
}
