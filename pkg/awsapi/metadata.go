package awsapi

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// metadata is the instance metadata service, version 2, and 1 where an instance allows
// that (Amazon EC2 user guide, "Use the Instance Metadata Service to access instance
// metadata").
type metadata struct {
	*Server
	secret []byte // of the tokens
}

const (
	tokenHeader    = "X-Aws-Ec2-Metadata-Token"
	lifetimeHeader = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	longestToken   = 6 * time.Hour
	// usualHops is how many hops packets of answers live, those with tokens aside.
	usualHops = 64
)

// Role keys last for roleSession, and new ones are given out renewBefore their end, so
// that SDKs, which ask again a quarter of an hour before, always get some that last.
const (
	roleSession = 6 * time.Hour
	renewBefore = time.Hour
)

// metadataOptions say how an instance may be asked: those of RunInstances.
type metadataOptions struct {
	HttpTokens, HttpEndpoint, InstanceMetadataTags string
	HttpPutResponseHopLimit                        int
}

// usualOptions are those of an instance for which nobody has chosen others, those of
// images that ask for version 2 ("Configure the Instance Metadata Service options").
var usualOptions = metadataOptions{HttpTokens: "required", HttpEndpoint: "enabled", InstanceMetadataTags: "disabled",
	HttpPutResponseHopLimit: 2}

const mostHops = 64

// with are the options with what others say.
func (o metadataOptions) with(more metadataOptions) (metadataOptions, error) {
	if hops := more.HttpPutResponseHopLimit; hops < 0 || hops > mostHops {
		return o, wire.Errorf("InvalidParameterValue", "HttpPutResponseHopLimit must be from 1 to %d", mostHops)
	}
	return metadataOptions{
		cmp.Or(more.HttpTokens, o.HttpTokens), cmp.Or(more.HttpEndpoint, o.HttpEndpoint),
		cmp.Or(more.InstanceMetadataTags, o.InstanceMetadataTags),
		cmp.Or(more.HttpPutResponseHopLimit, o.HttpPutResponseHopLimit),
	}, nil
}

func (o metadataOptions) text() string {
	text, err := json.Marshal(o)
	if err != nil {
		panic("options are plain data: " + err.Error())
	}
	return string(text)
}

// optionsOf are the options of an instance.
func (s *Server) optionsOf(instance string) metadataOptions {
	var own metadataOptions
	if err := json.Unmarshal([]byte(cmp.Or(s.Record.Note(instance, "metadata"), "{}")), &own); err != nil {
		s.Log.Error("the metadata options of an instance cannot be read", "instance", instance, "error", err)
	}
	options, err := usualOptions.with(own)
	if err != nil {
		s.Log.Error("the metadata options of an instance are invalid", "instance", instance, "error", err)
	}
	return options
}

func (o metadataOptions) view() wire.M {
	return wire.M{"State": "applied", "HttpTokens": o.HttpTokens, "HttpPutResponseHopLimit": o.HttpPutResponseHopLimit,
		"HttpEndpoint": o.HttpEndpoint, "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": o.InstanceMetadataTags}
}

// answer answers a request that came from a VPC.
func (m *metadata) answer(w http.ResponseWriter, r *http.Request, vpc string) {
	plan := m.CurrentPlan()
	in := callingInstance(plan, vpc, r)
	if in == nil || cloudapi.HostOf(r) != plan.Profile.Metadata.String() {
		fail(w, http.StatusNotFound)
		return
	}
	options := m.optionsOf(in.ID)
	if options.HttpEndpoint == "disabled" {
		fail(w, http.StatusForbidden)
		return
	}
	rest, ok := belowVersion(r.URL.Path)
	isToken := ok && rest == "api/token"
	hops := usualHops
	if isToken && r.Method == http.MethodPut {
		hops = options.HttpPutResponseHopLimit
	}
	limitHops(r, hops)
	switch {
	case isToken && r.Method == http.MethodPut:
		m.giveToken(w, r, in)
	case isToken:
		w.Header().Set("Allow", "OPTIONS, PUT")
		fail(w, http.StatusMethodNotAllowed)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "OPTIONS, GET, HEAD")
		fail(w, http.StatusMethodNotAllowed)
	case !m.admits(r, in, options):
		fail(w, http.StatusUnauthorized)
	case r.URL.Path == "/":
		tell(w, "1.0\nlatest")
	case !ok:
		fail(w, http.StatusNotFound)
	default:
		m.tree(plan, vpc, in, options).serve(w, rest)
	}
}

// limitHops bounds how far the answer to a request goes: a token does not leave the
// instance where the limit is 1. A network stack that cannot do that has no hops.
func limitHops(r *http.Request, hops int) {
	if conn := cloudapi.ConnectionOf(r); conn != nil {
		_ = ipv4.NewConn(conn).SetTTL(hops)
	}
}

var versionForm = regexp.MustCompile(`^(latest|1\.0|20\d\d-\d\d-\d\d)$`)

// belowVersion is what a path has below a version, all of which answer as the newest does.
func belowVersion(path string) (rest string, ok bool) {
	version, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return rest, versionForm.MatchString(version)
}

func fail(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><head><title>%d - %[2]s</title></head><body><h1>%[1]d - %[2]s</h1></body></html>\n", status,
		http.StatusText(status))
}

func tell(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprint(w, text)
}

// giveToken answers a PUT of version 2. A request that a proxy passes on gets no token.
func (m *metadata) giveToken(w http.ResponseWriter, r *http.Request, in *topology.Instance) {
	seconds, err := strconv.Atoi(r.Header.Get(lifetimeHeader))
	lifetime := time.Duration(seconds) * time.Second
	switch {
	case r.Header.Get("X-Forwarded-For") != "":
		fail(w, http.StatusForbidden)
	case err != nil || lifetime < time.Second || lifetime > longestToken:
		fail(w, http.StatusBadRequest)
	default:
		w.Header().Set(lifetimeHeader, strconv.Itoa(seconds))
		tell(w, m.token(in, m.Now().Add(lifetime)))
	}
}

// token is one of an instance until a time. Nothing is kept of it: it proves itself.
func (m *metadata) token(in *topology.Instance, until time.Time) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.URLEncoding.EncodeToString(append(text, m.sum(text, in)...))
}

func (m *metadata) sum(text []byte, in *topology.Instance) []byte {
	mac := hmac.New(sha256.New, m.secret)
	mac.Write(text)
	mac.Write([]byte(in.ID))
	return mac.Sum(nil)
}

// admits says whether a request has a token of its instance, or needs none.
func (m *metadata) admits(r *http.Request, in *topology.Instance, options metadataOptions) bool {
	given, has := r.Header[tokenHeader]
	if !has {
		return options.HttpTokens == "optional"
	}
	raw, err := base64.URLEncoding.DecodeString(given[0])
	if err != nil || len(raw) < 8 {
		return false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)
	return hmac.Equal(raw[8:], m.sum(raw[:8], in)) && m.Now().Before(until)
}

// tree is what can be read, by path.
type tree map[string]func() string

func (t tree) text(path string, v any) {
	t[path] = func() string { return fmt.Sprint(v) }
}

// serve answers with a text, or with the names below a path.
func (t tree) serve(w http.ResponseWriter, path string) {
	path = strings.TrimSuffix(path, "/")
	if text := t[path]; text != nil {
		tell(w, text())
		return
	}
	var below []string
	for key := range t {
		rest, ok := strings.CutPrefix(key, path+"/")
		if path == "" {
			rest, ok = key, true
		}
		if !ok {
			continue
		}
		name, more, deep := strings.Cut(rest, "/")
		if deep && more != "" {
			name += "/"
		}
		if path == "" {
			name = strings.TrimSuffix(name, "/")
		}
		if !slices.Contains(below, name) {
			below = append(below, name)
		}
	}
	if len(below) == 0 {
		fail(w, http.StatusNotFound)
		return
	}
	slices.Sort(below)
	tell(w, strings.Join(below, "\n"))
}

// tree has the metadata of an instance.
func (m *metadata) tree(plan *topology.Plan, vpc string, in *topology.Instance, options metadataOptions) tree {
	v := plan.MustVPC(vpc)
	subnet := v.MustSubnet(in.Subnet)
	account, err := plan.Account(v.Account)
	if err != nil {
		return tree{}
	}
	c := network{&call{&cloudapi.Call{Server: m.Server.Server, Plan: plan, Account: account}, m.Server}}
	view := c.viewInstance(v, in)
	t := tree{}
	add := func(name string, value any) { t.text("meta-data/"+name, value) }
	var groups, identifiers []string
	for _, g := range c.identifiers(v, in.SecurityGroups) {
		groups, identifiers = append(groups, g["GroupName"].(string)), append(identifiers, g["GroupId"].(string))
	}
	add("ami-id", view["ImageId"])
	add("ami-launch-index", view["AmiLaunchIndex"])
	add("ami-manifest-path", "(unknown)")
	add("block-device-mapping/ami", strings.TrimPrefix(rootDevice, "/dev/"))
	add("block-device-mapping/root", rootDevice)
	add("hostname", view["PrivateDnsName"])
	add("instance-action", "none")
	add("instance-id", in.ID)
	add("instance-life-cycle", "on-demand")
	add("instance-type", view["InstanceType"])
	add("local-hostname", view["PrivateDnsName"])
	add("local-ipv4", in.IP)
	add("mac", in.MAC)
	add("placement/availability-zone", in.Zone)
	add("placement/availability-zone-id", topology.ZoneID(plan.Region, in.Zone))
	add("placement/region", plan.Region)
	add("profile", "default-hvm")
	add("reservation-id", c.viewReservation(v, in)["ReservationId"])
	add("security-groups", strings.Join(groups, "\n"))
	add("services/domain", awsDomain)
	add("services/partition", "aws")
	add("system", "xen")
	nic := fmt.Sprintf("network/interfaces/macs/%s/", in.MAC)
	add(nic+"device-number", 0)
	add(nic+"interface-id", instanceENI(plan, in))
	add(nic+"local-hostname", view["PrivateDnsName"])
	add(nic+"local-ipv4s", in.IP)
	add(nic+"mac", in.MAC)
	add(nic+"owner-id", account.ID)
	add(nic+"security-group-ids", strings.Join(identifiers, "\n"))
	add(nic+"security-groups", strings.Join(groups, "\n"))
	add(nic+"subnet-id", subnet.ID)
	add(nic+"subnet-ipv4-cidr-block", subnet.CIDR)
	add(nic+"vpc-id", v.ID)
	add(nic+"vpc-ipv4-cidr-block", v.CIDR)
	add(nic+"vpc-ipv4-cidr-blocks", joined(v.CIDRs()))
	if in.IPv6.IsValid() {
		add("ipv6", in.IPv6)
		add(nic+"ipv6s", in.IPv6)
		add(nic+"subnet-ipv6-cidr-blocks", subnet.IPv6CIDR)
		add(nic+"vpc-ipv6-cidr-blocks", v.IPv6CIDR)
	}
	if options.InstanceMetadataTags == "enabled" {
		for _, tag := range tagsWith(in.Tags, in.ID, in.Name) {
			add("tags/instance/"+tag["Key"].(string), tag["Value"])
		}
	}
	if raw, err := base64.StdEncoding.DecodeString(c.Record.Note(in.ID, "userdata")); err == nil && len(raw) > 0 {
		t.text("user-data", string(raw))
	}
	t["dynamic/instance-identity/document"] = func() string {
		return document(map[string]any{
			"accountId": account.ID, "architecture": "x86_64", "availabilityZone": in.Zone,
			"billingProducts": nil, "devpayProductCodes": nil, "marketplaceProductCodes": nil,
			"imageId": view["ImageId"], "instanceId": in.ID, "instanceType": view["InstanceType"], "kernelId": nil,
			"pendingTime": moment(view["LaunchTime"].(time.Time)), "privateIp": in.IP, "ramdiskId": nil,
			"region": plan.Region, "version": "2017-09-30",
		})
	}
	m.addRole(t, account, in)
	return t
}

func joined(blocks []netip.Prefix) string {
	var texts []string
	for _, b := range blocks {
		texts = append(texts, b.String())
	}
	return strings.Join(texts, "\n")
}

// addRole adds the keys of an instance's role, if it has one.
func (m *metadata) addRole(t tree, account *topology.Account, in *topology.Instance) {
	role := m.roleOf(in)
	if role == "" {
		return
	}
	t["meta-data/iam/info"] = func() string {
		return document(map[string]any{"Code": "Success", "LastUpdated": moment(m.Now()),
			"InstanceProfileArn": profileARN(account, role), "InstanceProfileId": profileID(account, role)})
	}
	t["meta-data/iam/security-credentials/"+role] = func() string {
		key, err := m.Ring.OfInstance(account.Name, role, in.ID, m.Now(), roleSession, renewBefore)
		if err != nil {
			m.Log.Error("an instance gets no keys", "instance", in.Ref(), "error", err)
			return document(map[string]any{"Code": "Failed", "LastUpdated": moment(m.Now()), "Message": err.Error()})
		}
		return document(map[string]any{
			"Code": "Success", "LastUpdated": moment(key.Expires.Add(-roleSession)), "Type": "AWS-HMAC",
			"AccessKeyId": key.ID, "SecretAccessKey": key.Secret, "Token": key.Token, "Expiration": moment(key.Expires),
		})
	}
}

// fileRole is the role of instances that come from a topology file, which has no word
// for one.
const fileRole = "plinksim"

// roleOf is the role of an instance: that of the profile that clients gave it, and "" where
// they gave it none.
func (s *Server) roleOf(in *topology.Instance) string {
	t := s.Record.Thing(in.ID)
	role, said := t.Notes[profileNote]
	if !said && t.Created.IsZero() && s.inVPCs.Load() {
		return fileRole
	}
	return role
}

// profileNote is the note of an instance with the role of its profile.
const profileNote = "profile"

func profileARN(account *topology.Account, role string) string {
	return "arn:aws:iam::" + account.ID + ":instance-profile/" + role
}

func profileID(account *topology.Account, role string) string {
	return "AIPA" + derive.Text("profile "+account.ID+" "+role, 17, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func document(v any) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic("metadata is plain data: " + err.Error())
	}
	return text.String()
}
