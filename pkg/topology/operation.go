package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Operation is something that an account does to the control plane of a
// running lab, as data: commands, checks, tests and the lab's socket say it in
// the same way. Which fields a verb has, its Spec says; the others are empty.
//
// A field's key is that of its json tag, in JSON and in a topology file. One
// with doc is a key of files; enum, range and unit say which values it takes.
type Operation struct {
	Verb Verb   `json:"verb" yaml:"required" doc:"what is done" enum:"$verbs"`
	As   string `json:"as,omitempty" doc:"the account that does it; the one that may where it is missing"`

	Service       string     `json:"service,omitempty" doc:"the endpoint service"`
	Endpoint      string     `json:"endpoint,omitempty" doc:"the endpoint"`
	Zone          string     `json:"zone,omitempty" doc:"the zone"`
	Account       string     `json:"account,omitempty" doc:"the account that comes on the whitelist or leaves it"`
	Resource      string     `json:"resource,omitempty" doc:"a load balancer to attach or detach, or a zone's new one"`
	Resources     []Resource `json:"resources,omitempty" doc:"load balancers, one for a zone: clb1@eu-central-1b"`
	SecurityGroup string     `json:"security_group,omitempty" doc:"a group of the endpoint's VPC"`
	Bandwidth     *int       `json:"bandwidth,omitempty" unit:"mbit" doc:"Mbit/s in each direction, or none"`
	Force         bool       `json:"force,omitempty" doc:"replace at once: sessions through the old one end"`
	Description   *string    `json:"description,omitempty" doc:"a text for people"`
	AutoAccept    *bool      `json:"auto_accept,omitempty" doc:"connect endpoints without asking the owner"`
	ZoneAffinity  *bool      `json:"zone_affinity,omitempty" doc:"an endpoint's name leads to the asker's zone first"`
	PrivateDNS    *bool      `json:"private_dns,omitempty" doc:"the VPC knows it by its service's private DNS name"`

	NATGateway  string     `json:"nat_gateway,omitempty" doc:"the NAT gateway"`
	Entry       string     `json:"entry,omitempty" doc:"a FullNAT entry of the gateway"`
	NATIP       netip.Addr `json:"nat_ip,omitzero" doc:"a NAT IP of the gateway; a free one for nat-ip-create"`
	NATPort     uint16     `json:"nat_port,omitempty" range:"1..65535" doc:"the port of the NAT IP; a free one"`
	Protocol    string     `json:"protocol,omitempty" doc:"tcp where it is missing" enum:"tcp|udp"`
	AccessIP    netip.Addr `json:"access_ip,omitzero" doc:"the address of the user's server"`
	AccessPort  uint16     `json:"access_port,omitempty" range:"1..65535" doc:"the port of the user's server"`
	Domain      *string    `json:"domain,omitempty" doc:"a name for the NAT IP in the provider's hosts files"`
	ServerGroup string     `json:"server_group,omitempty" doc:"the server group"`
	Server      string     `json:"server,omitempty" doc:"an instance of the group's VPC and its port: ecs2:80"`
	Weight      *int       `json:"weight,omitempty" range:"0..100" doc:"its share of the sessions; 0 takes no new ones"`

	// Request is the id of the call of a cloud's API that asks for it, for its events.
	Request string `json:"request,omitempty"`

	// What is created, where the file does not have it: see topofile.EditOf.

	VPC            string   `json:"vpc,omitempty"`
	Subnets        []string `json:"subnets,omitempty"`
	SecurityGroups []string `json:"security_groups,omitempty"`
	LoadBalancers  []string `json:"load_balancers,omitempty"`
}

// Verb is what an operation does. Verbs that no account can say, which the
// control plane's states have beside them, are not here.
type Verb string

// The verbs of operations.
const (
	VerbServiceShow      Verb = "service-show"
	VerbServiceSet       Verb = "service-set"
	VerbServiceCreate    Verb = "service-create"
	VerbServiceDelete    Verb = "service-delete"
	VerbWhitelistAdd     Verb = "whitelist-add"
	VerbWhitelistRemove  Verb = "whitelist-remove"
	VerbAttach           Verb = "attach"
	VerbDetach           Verb = "detach"
	VerbEndpointShow     Verb = "endpoint-show"
	VerbEndpointCreate   Verb = "endpoint-create"
	VerbEndpointDelete   Verb = "endpoint-delete"
	VerbEndpointSet      Verb = "endpoint-set"
	VerbZoneAdd          Verb = "zone-add"
	VerbZoneRemove       Verb = "zone-remove"
	VerbGroupAdd         Verb = "group-add"
	VerbGroupRemove      Verb = "group-remove"
	VerbAccept           Verb = "accept"
	VerbReject           Verb = "reject"
	VerbBandwidth        Verb = "bandwidth"
	VerbZoneEnable       Verb = "zone-enable"
	VerbZoneDisable      Verb = "zone-disable"
	VerbReplace          Verb = "replace"
	VerbRelease          Verb = "release"
	VerbGatewayCreate    Verb = "gateway-create"
	VerbGatewayDelete    Verb = "gateway-delete"
	VerbNATIPCreate      Verb = "nat-ip-create"
	VerbNATIPDelete      Verb = "nat-ip-delete"
	VerbEntryCreate      Verb = "entry-create"
	VerbEntryModify      Verb = "entry-modify"
	VerbEntryDelete      Verb = "entry-delete"
	VerbServerRegister   Verb = "server-register"
	VerbServerDeregister Verb = "server-deregister"
	VerbServerWeight     Verb = "server-weight"
)

// Spec says which keys an operation has beside verb and as.
type Spec struct {
	Verb    Verb
	Needs   Keys // keys that must be there
	May     Keys // keys that may be there
	Creates Keys // keys of what is created where the file does not have it; no file has them
	Read    bool // it changes nothing
}

// Keys are keys of an operation, separated by blanks.
type Keys string

// List are the keys one by one.
func (k Keys) List() []string { return strings.Fields(string(k)) }

// Has reports whether a key is one of them.
func (k Keys) Has(key string) bool { return slices.Contains(k.List(), key) }

// Specs are all operations, a row for each.
var Specs = []Spec{
	{Verb: VerbServiceShow, Needs: "service", Read: true},
	{Verb: VerbServiceSet, Needs: "service", May: "description auto_accept zone_affinity bandwidth"},
	{Verb: VerbServiceCreate, Needs: "service", Creates: "load_balancers description"},
	{Verb: VerbServiceDelete, Needs: "service"},
	{Verb: VerbWhitelistAdd, Needs: "service account"},
	{Verb: VerbWhitelistRemove, Needs: "service account"},
	{Verb: VerbAttach, Needs: "service resource", May: "zone"},
	{Verb: VerbDetach, Needs: "service resource", May: "zone"},
	{Verb: VerbEndpointShow, Needs: "endpoint", Read: true},
	{Verb: VerbEndpointCreate, Needs: "endpoint", Creates: "service vpc subnets security_groups description private_dns"},
	{Verb: VerbEndpointDelete, Needs: "endpoint"},
	{Verb: VerbEndpointSet, Needs: "endpoint", May: "description zone_affinity private_dns"},
	{Verb: VerbZoneAdd, Needs: "endpoint zone"},
	{Verb: VerbZoneRemove, Needs: "endpoint zone"},
	{Verb: VerbGroupAdd, Needs: "endpoint security_group"},
	{Verb: VerbGroupRemove, Needs: "endpoint security_group"},
	{Verb: VerbAccept, Needs: "service endpoint", May: "bandwidth resources"},
	{Verb: VerbReject, Needs: "service endpoint"},
	{Verb: VerbBandwidth, Needs: "service endpoint bandwidth"},
	{Verb: VerbZoneEnable, Needs: "service endpoint zone"},
	{Verb: VerbZoneDisable, Needs: "service endpoint zone"},
	{Verb: VerbReplace, Needs: "service endpoint zone", May: "resource force"},
	{Verb: VerbRelease, Needs: "service endpoint zone"},
	{Verb: VerbGatewayCreate, Needs: "nat_gateway"},
	{Verb: VerbGatewayDelete, Needs: "nat_gateway"},
	{Verb: VerbNATIPCreate, Needs: "nat_gateway", May: "nat_ip"},
	{Verb: VerbNATIPDelete, Needs: "nat_gateway nat_ip"},
	{
		Verb: VerbEntryCreate, Needs: "nat_gateway entry nat_ip endpoint access_ip access_port",
		May: "zone nat_port protocol domain",
	},
	{
		Verb: VerbEntryModify, Needs: "nat_gateway entry",
		May: "nat_ip nat_port protocol endpoint zone access_ip access_port domain",
	},
	{Verb: VerbEntryDelete, Needs: "nat_gateway entry"},
	{Verb: VerbServerRegister, Needs: "server_group server", May: "weight"},
	{Verb: VerbServerDeregister, Needs: "server_group server"},
	{Verb: VerbServerWeight, Needs: "server_group server weight"},
}

// Spec is that of the operation's verb, nil where there is no such verb.
func (o Operation) Spec() *Spec {
	i := slices.IndexFunc(Specs, func(s Spec) bool { return s.Verb == o.Verb })
	if i < 0 {
		return nil
	}
	return &Specs[i]
}

// Verbs are those of operations, in the order of Specs.
func Verbs() []string {
	var out []string
	for _, s := range Specs {
		out = append(out, string(s.Verb))
	}
	return out
}

// Refusal says what kind of error an operation is refused with, for callers
// that decide by it.
type Refusal string

// The refusals.
const (
	NotFound       Refusal = "not-found"       // no such account, service, endpoint or connection
	NotOwner       Refusal = "not-owner"       // the caller does not own the object
	NotWhitelisted Refusal = "not-whitelisted" // the account may not see the service
	WrongState     Refusal = "wrong-state"     // the object's state does not allow the verb
	InUse          Refusal = "in-use"          // something still depends on the object
	Invalid        Refusal = "invalid"         // what is asked for makes no sense
	Quota          Refusal = "quota"           // the cloud allows no more
	Unsupported    Refusal = "unsupported"     // the cloud has no such operation
)

// refusals are all of them, with the status of HTTP that means the same (RFC
// 9110, section 15; 429 is of RFC 6585).
var refusals = []struct {
	Refusal
	status int
}{
	{NotFound, 404}, {NotOwner, 403}, {NotWhitelisted, 403}, {WrongState, 409},
	{InUse, 409}, {Invalid, 400}, {Quota, 429}, {Unsupported, 501},
}

// Refusals are the ways in which an operation may be refused, as a check's
// expect.error names them.
func Refusals() []string {
	var out []string
	for _, r := range refusals {
		out = append(out, string(r.Refusal))
	}
	return out
}

// Status is the status of HTTP that says the same.
func (r Refusal) Status() int {
	for _, known := range refusals {
		if known.Refusal == r {
			return known.status
		}
	}
	return 500
}

// sentence are the keys that tell operations apart, in the order of String.
const sentence Keys = "nat_gateway entry nat_ip service endpoint zone account resource security_group" +
	" server_group server resources bandwidth weight"

// String is the operation as a sentence's end: "zone-disable svc1 ep1 zone-a".
func (o Operation) String() string {
	parts := []string{string(o.Verb)}
	for _, key := range sentence.List() {
		if text := o.Text(key); text != "" {
			parts = append(parts, text)
		}
	}
	if o.Force {
		parts = append(parts, "by force")
	}
	if o.As != "" {
		parts = append(parts, "as "+o.As)
	}
	return strings.Join(parts, " ")
}

// Text is a field of the operation as Set reads it, "" where it is not given.
func (o Operation) Text(key string) string {
	f := o.field(key)
	if f.IsZero() {
		return ""
	}
	switch v := reflect.Indirect(f).Interface().(type) {
	case []Resource:
		return joined(v)
	case []string:
		return strings.Join(v, ",")
	case int:
		if mustField(key).Tag.Get("unit") == "mbit" {
			return FormatRate(int64(v) * 1e6)
		}
		return strconv.Itoa(v)
	default:
		return fmt.Sprint(v)
	}
}

// Given reports whether the operation has a key.
func (o Operation) Given(key string) bool { return !o.field(key).IsZero() }

// KeyKind is what kind of value a key has, be it given or not.
func KeyKind(key string) reflect.Kind {
	typ := mustField(key).Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return typ.Kind()
}

// KeyDoc says what a key is for.
func KeyDoc(key string) string { return mustField(key).Tag.Get("doc") }

// KeyEnum are the values that a key takes, none where it takes any.
func KeyEnum(key string) []string {
	if text := mustField(key).Tag.Get("enum"); text != "" && text[0] != '$' {
		return strings.Split(text, "|")
	}
	return nil
}

// Set gives a field the value that a text means. Lists get one more.
func (o *Operation) Set(key, text string) error {
	f := reflect.ValueOf(o).Elem().FieldByIndex(mustField(key).Index)
	if f.Kind() == reflect.Pointer {
		into := reflect.New(f.Type().Elem())
		if err := setValue(into.Elem(), mustField(key), text); err != nil {
			return err
		}
		f.Set(into)
		return nil
	}
	return setValue(f, mustField(key), text)
}

func setValue(into reflect.Value, field reflect.StructField, text string) (err error) {
	switch v := into.Addr().Interface().(type) {
	case *bool:
		if *v, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
	case *int:
		if field.Tag.Get("unit") == "mbit" {
			*v, err = ParseMegabits(text)
		} else if *v, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
	case *uint16:
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return fmt.Errorf("%q is not a port from 1 to 65535", text)
		}
		*v = uint16(port)
	case *netip.Addr:
		if *v, err = netip.ParseAddr(text); err != nil || v.Is4In6() {
			return fmt.Errorf("%q is not an address", text)
		}
	case *[]Resource:
		r, err := ParseResource(text)
		if err != nil {
			return err
		}
		*v = append(*v, r)
	case *[]string:
		*v = append(*v, strings.Split(text, ",")...)
	default:
		into.SetString(text) // of every other kind are words
	}
	return err
}

// ParseMegabits reads a bandwidth as a console takes it, in Mbit/s, or with a
// unit as topology files write rates; none is 0.
func ParseMegabits(text string) (int, error) {
	if n, err := strconv.Atoi(text); err == nil {
		return n, nil
	}
	rate, err := ParseRate(text)
	if err != nil || rate%1e6 != 0 {
		return 0, errors.New("write a number of Mbit/s, for example 200, or none")
	}
	return int(rate / 1e6), nil
}

func (o Operation) field(key string) reflect.Value {
	return reflect.ValueOf(o).FieldByIndex(mustField(key).Index)
}

// mustField is a field of which a Spec or another table has the key.
func mustField(key string) reflect.StructField {
	typ := reflect.TypeFor[Operation]()
	for i := range typ.NumField() {
		if KeyOf(typ.Field(i)) == key {
			return typ.Field(i)
		}
	}
	panic(fmt.Sprintf("an operation has no %q", key))
}

// KeyOf is the key of an operation's field, in JSON and in files.
func KeyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return key
}

func joined(resources []Resource) string {
	var out []string
	for _, r := range resources {
		out = append(out, r.String())
	}
	return strings.Join(out, " ")
}

// ParseResource reads LOAD_BALANCER@ZONE.
func ParseResource(text string) (Resource, error) {
	balancer, zone, ok := strings.Cut(text, "@")
	if !ok || balancer == "" || zone == "" {
		return Resource{}, fmt.Errorf("%q is not LOAD_BALANCER@ZONE", text)
	}
	return Resource{LoadBalancer: balancer, Zone: zone}, nil
}

// Resource is what a text names: LOAD_BALANCER@ZONE, or NAT_GATEWAY@ZONE.
func (p *Plan) Resource(text string) (Resource, error) {
	r, err := ParseResource(text)
	if err != nil {
		return r, err
	}
	offer, err := p.Offer(r.LoadBalancer)
	if err != nil {
		return r, err
	}
	for _, known := range offer.Resources {
		if known.Zone == r.Zone {
			return known, nil
		}
	}
	return r, fmt.Errorf("%s %q is not in zone %q", offer.Kind, offer.Name, r.Zone)
}
