package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// kind is a kind of objects of a topology file, with commands that edit them.
type kind struct {
	path string // of the command: security-group rule
	file string // where they are in the file; each * is a name, in the order of its argument
	name string // the argument, with a slash between names: VPC/SUBNET
	what string // for people: a subnet
	// examples of its keys, for create or add
	example string
	more    func(kind) []*cobra.Command // what else can be done; may be nil
}

// kinds are all kinds of objects. Those whose file ends in "-" are elements of
// lists. Where one has operations of the control plane, too, their commands take
// KEY=VALUE: see operation.kind.
var kinds = []kind{
	{"account", "accounts/-", "ACCOUNT", "an account", "", nil},
	{"vpc", "vpcs/*", "VPC", "a VPC", "cidr=10.0.0.0/16", nil},
	{"subnet", "vpcs/*/subnets/*", "VPC/SUBNET", "a subnet", "zone=eu-central-1b cidr=10.0.0.0/24", nil},
	{"peering", "peerings/*", "PEERING", "a peering of two VPCs", "vpcs=vpc1,vpc2", nil},
	{"security-group", "vpcs/*/security_groups/*", "VPC/GROUP", "a security group", "", nil},
	{"security-group ingress", "vpcs/*/security_groups/*/ingress/-", "VPC/GROUP", "a rule for what comes",
		"protocol=tcp ports=80 source=0.0.0.0/0", nil},
	{"security-group egress", "vpcs/*/security_groups/*/egress/-", "VPC/GROUP", "a rule for what goes",
		"protocol=all destination=10.0.0.0/8", nil},
	{"instance", "vpcs/*/instances/*", "VPC/INSTANCE", "an instance", "subnet=vsw1 security_groups=web",
		instanceCommands},
	{"instance service", "vpcs/*/instances/*/services/-", "VPC/INSTANCE", "a program of an instance",
		"http=80 body=hello", nil},
	{"server-group", "server_groups/*", "GROUP", "a server group", "vpc=vpc2 servers=[]", nil},
	{"target", "server_groups/*/servers/-", "GROUP", "a server of a group", "instance=ecs2 port=80", nil},
	{"load-balancer", "load_balancers/*", "LOAD_BALANCER", "a load balancer",
		"type=clb vpc=vpc2 subnets=vsw2 listeners=[]", nil},
	{"listener", "load_balancers/*/listeners/-", "LOAD_BALANCER", "a listener",
		"protocol=tcp port=80 server_group=rs1", nil},
	{"listener rule", "load_balancers/*/listeners/*/rules/-", "LOAD_BALANCER/WHICH",
		"a rule of an http or https listener", "priority=1 paths=/api/* server_group=rs2", nil},
	{"listener certificate", "load_balancers/*/listeners/*/certificates/-", "LOAD_BALANCER/WHICH",
		"a certificate of an https listener", "certificate=shop.pem key=shop.key", nil},
	{"nat gateway", "nat_gateways/*", "GATEWAY", "a NAT gateway",
		"type=FullNat vpc=provider subnet=vsw1 nat_ips=172.16.0.5", nil},
	{"nat entry", "nat_gateways/*/full_nat/*", "GATEWAY/ENTRY", "a FullNAT entry",
		"nat_ip=172.16.0.5 nat_port=3306 endpoint=ep1 access_ip=192.168.0.86 access_port=3306", nil},
	{"service", "endpoint_services/*", "SERVICE", "an endpoint service", "resources=clb1 whitelist=customer", nil},
	{"endpoint", "endpoints/*", "ENDPOINT", "an endpoint", "service=svc1 vpc=vpc1 subnets=vsw1", nil},
	{"private-zone", "private_zones/*", "ZONE", "a private zone", "domain=corp.example vpcs=vpc1 records=[]", nil},
	{"private-zone record", "private_zones/*/records/-", "ZONE", "a record of a private zone",
		"name=www a=10.0.0.5", nil},
	{"public-zone", "public_zones/*", "ZONE", "a public zone", "domain=example.com records=[]", nil},
	{"public-zone record", "public_zones/*/records/-", "ZONE", "a record of a public zone",
		"name=www a=10.0.0.5", nil},
}

// kindAt is the kind with a path, nil where there is none.
func kindAt(path string) *kind {
	if i := slices.IndexFunc(kinds, func(k kind) bool { return k.path == path }); i >= 0 {
		return &kinds[i]
	}
	return nil
}

// newKinds are the commands of the kinds that have no operations.
func newKinds() (commands []*cobra.Command) {
	for _, k := range kinds {
		if strings.Contains(k.path, " ") || len(operationsBelow(k.path)) > 0 {
			continue
		}
		var below []*cobra.Command
		for _, part := range kinds {
			if strings.HasPrefix(part.path, k.path+" ") {
				below = append(below, group(part.path, "Add "+part.what+", or change or remove it",
					"Add "+part.what+" to a running lab, or change or remove it: see \"plinksim edit --help\"."))
			}
		}
		commands = append(commands, group(k.path, "Create "+k.what+", or change or delete it",
			"Create "+k.what+" in a running lab, or change or delete it: see \"plinksim edit --help\".", below...))
	}
	return commands
}

func (k kind) isElement() bool { return strings.HasSuffix(k.file, "/"+topology.AtEnd) }

// isWord says whether one has a name and nothing else.
func (k kind) isWord() bool { return k.isElement() && len(k.keys()) == 0 }

// keysOfKinds are those of each kind, by its place in the file: they are looked for while
// the tree of commands is made, so each time that the program starts.
var keysOfKinds sync.Map

func (k kind) keys() []topofile.Key {
	keys, ok := keysOfKinds.Load(k.file)
	if !ok {
		keys, _ = keysOfKinds.LoadOrStore(k.file, topofile.KeysAt(k.file))
	}
	return keys.([]topofile.Key)
}

// commands are create, set and delete, or add, set and remove of elements,
// without those that operations have.
func (k kind) commands() (commands []*cobra.Command) {
	switch {
	case k.isWord():
		commands = []*cobra.Command{
			k.command("create "+k.name+"...", "Create "+k.what, "", 1, k.words("")),
			k.command("delete "+k.name+"...", "Delete "+k.what+" that nothing uses", "", 1, k.words("=")),
		}
	case k.isElement():
		which := "WHICH" // port=80,protocol=tcp
		commands = []*cobra.Command{
			k.command("add "+k.name+" KEY=VALUE...", "Add "+k.what, k.name+" "+k.example, 2, k.create),
			k.command("set "+k.name+" "+which+" KEY=VALUE...", "Change "+k.what, "", 3, k.set),
			k.command("remove "+k.name+" "+which, "Remove "+k.what, "", 2, k.remove),
		}
	default:
		commands = []*cobra.Command{
			k.command("create "+k.name+" [KEY=VALUE...]", "Create "+k.what, k.name+" "+k.example, 1, k.create),
			k.command("set "+k.name+" KEY=VALUE...", "Change "+k.what, "", 2, k.set),
			k.command("delete "+k.name+"...", "Delete "+k.what+" that nothing uses", "", 1, k.remove),
		}
	}
	if k.more != nil {
		commands = append(commands, k.more(k)...)
	}
	return slices.DeleteFunc(commands, func(c *cobra.Command) bool { return operationAt(k.path+" "+c.Name()) != nil })
}

// command is one that makes the edits that read reads.
func (k kind) command(use, short, example string, least int,
	read func([]string) ([]topology.Edit, error)) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	cmd := editing(use, short, "", func(args []string) ([]topology.Edit, error) {
		edits, err := read(args)
		if err != nil {
			return nil, &usageError{err}
		}
		return edits, nil
	})
	cmd.Args = takes(cobra.MinimumNArgs(least), strings.TrimPrefix(use, verb+" "))
	if example != "" {
		cmd.Example = strings.TrimRight("  sudo plinksim "+k.path+" "+verb+" "+example, " ")
	}
	cmd.Long = short + "."
	keys := strings.Contains(use, "KEY=VALUE")
	if strings.Contains(use, "WHICH") {
		cmd.Long += " WHICH is its number from 0, or some of its keys that only it has: port=80."
	}
	if keys {
		cmd.Long += "\n\n" + k.keysHelp()
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		return k.complete(cmd, verb, keys, args, word)
	}
	return cmd
}

// complete completes an argument: the object, which element of a list, or a key
// and its value.
func (k kind) complete(cmd *cobra.Command, verb string, keys bool, args []string, word string) (
	[]string, cobra.ShellCompDirective) {
	const noFile = cobra.ShellCompDirectiveNoFileComp
	pattern, above := strings.Split(k.file, "/"), 1
	if k.isElement() {
		above = 2
	}
	isNew := !k.isElement() && verb == "create"
	switch {
	case len(args) == 0 && isNew, k.isWord() && isNew:
		return nil, noFile
	case k.isWord():
		return pathNames(cmd, k.file), noFile
	case len(args) == 0 && k.isElement():
		return pathNames(cmd, strings.Join(pattern[:len(pattern)-above], "/")), noFile
	case len(args) == 0, !k.isElement() && !keys:
		return pathNames(cmd, k.file), noFile
	case len(args) == 1 && k.isElement() && verb != "add":
		at, err := k.at(strings.Split(args[0], "/"))
		if err != nil {
			return nil, noFile
		}
		return pathNames(cmd, topology.JoinPath(at...)), noFile
	case !keys:
		return nil, noFile
	}
	return k.completeKey(cmd, word), noFile | cobra.ShellCompDirectiveNoSpace
}

// pathNames are what stands in the lab's topology in the place of * and of elements
// of lists, with a slash between.
func pathNames(cmd *cobra.Command, pattern string) (names []string) {
	lab, _ := cmd.Flags().GetString("lab")
	_, plan, err := labPlan(cmd.Context(), lab)
	if err != nil {
		return nil
	}
	doc, err := topofile.DocumentOf(plan)
	if err != nil {
		return nil
	}
	parts := topology.SplitPath(pattern)
	last := len(parts) - 1
	for _, path := range doc.Paths(pattern) {
		var name []string
		for i, part := range parts {
			if part == "*" || part == topology.AtEnd || i == last && !slices.Contains(parts, "*") {
				name = append(name, strings.TrimPrefix(path[i], "="))
			}
		}
		if parts[last] == topology.AtEnd { // which element of that list
			name = name[len(name)-1:]
		}
		names = append(names, strings.Join(name, "/"))
	}
	return names
}

// keysHelp explains KEY=VALUE and the keys.
func (k kind) keysHelp() string {
	var b strings.Builder
	b.WriteString("The keys are those of the file; a value may be YAML, a list words with\n" +
		"commas between them, and KEY.KEY a key further down. KEY= takes a key away.\n\n")
	for _, key := range k.keys() {
		doc := key.Doc
		if len(key.Enum) > 0 {
			doc += " (" + strings.Join(key.Enum, ", ") + ")"
		}
		fmt.Fprintf(&b, "  %-18s %s\n", key.Name, doc)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (k kind) completeKey(cmd *cobra.Command, word string) (out []string) {
	name, _, valued := strings.Cut(word, "=")
	for _, key := range k.keys() {
		if !valued {
			out = append(out, key.Name+"=")
			continue
		}
		if key.Name != name {
			continue
		}
		for _, value := range key.Enum {
			out = append(out, name+"="+value)
		}
		for _, pattern := range key.Refers {
			for _, value := range pathNames(cmd, pattern) {
				out = append(out, name+"="+value[strings.LastIndex(value, "/")+1:])
			}
		}
	}
	return out
}

// at is the path of the object with these names. The VPC may be missing where only
// one has such a name.
func (k kind) at(names []string) ([]string, error) {
	parts := strings.Split(k.file, "/")
	n := strings.Count(k.file, "*")
	if strings.HasPrefix(k.file, "vpcs/*/") && len(names) == n-1 {
		names = append([]string{"*"}, names...)
	}
	if len(names) != n || slices.Contains(names, "") {
		return nil, fmt.Errorf("%q is not %s", strings.Join(names, "/"), k.name)
	}
	for i := range parts {
		if parts[i] == "*" {
			parts[i], names = names[0], names[1:]
		}
	}
	return parts, nil
}

func (k kind) create(args []string) ([]topology.Edit, error) {
	names := strings.Split(args[0], "/")
	if !k.isElement() && len(names) < strings.Count(k.file, "*") {
		return nil, fmt.Errorf("%q is not %s", args[0], k.name)
	}
	return k.createAt(names, args[1:])
}

// createAt creates the object with these names and KEY=VALUE.
func (k kind) createAt(names, pairs []string) ([]topology.Edit, error) {
	at, err := k.at(names)
	if err != nil {
		return nil, err
	}
	edits := []topology.Edit{{Path: topology.JoinPath(at...), New: true}}
	value, nested := map[string]json.RawMessage{}, []topology.Edit(nil)
	for _, arg := range pairs {
		key, text, err := k.read(arg)
		if err != nil {
			return nil, err
		}
		if len(key) > 1 {
			path := topology.JoinPath(append(at[:len(at):len(at)], key...)...)
			nested = append(nested, topology.Edit{Path: path, Value: text})
			continue
		}
		value[key[0]] = json.RawMessage(text)
	}
	if k.isElement() && len(nested) > 0 {
		return nil, fmt.Errorf("write a key of keys as YAML: %s={...}", strings.Split(nested[0].Path, "/")[len(at)])
	}
	var keys []string
	for _, key := range k.keys() {
		if text, ok := value[key.Name]; ok {
			keys = append(keys, key.Name+": "+string(text))
		}
	}
	edits[0].Value = "{" + strings.Join(keys, ", ") + "}"
	return append(edits, nested...), nil
}

func (k kind) set(args []string) ([]topology.Edit, error) {
	at, err := k.at(strings.Split(args[0], "/"))
	if err != nil {
		return nil, err
	}
	args = args[1:]
	if k.isElement() {
		at[len(at)-1], args = args[0], args[1:]
	}
	return k.setAt(at, args)
}

// setAt changes keys of what is at a path.
func (k kind) setAt(at, pairs []string) (edits []topology.Edit, err error) {
	for _, arg := range pairs {
		key, text, err := k.read(arg)
		if err != nil {
			return nil, err
		}
		path := topology.JoinPath(append(at[:len(at):len(at)], key...)...)
		edits = append(edits, topology.Edit{Path: path, Value: text})
	}
	return edits, nil
}

func (k kind) remove(args []string) (edits []topology.Edit, err error) {
	if k.isElement() {
		at, err := k.at(strings.Split(args[0], "/"))
		if err != nil {
			return nil, err
		}
		for _, which := range args[1:] {
			at[len(at)-1] = which
			edits = append(edits, topology.Edit{Path: topology.JoinPath(at...)})
		}
		return edits, nil
	}
	return k.each(args, topology.Edit{})
}

// each is the edit for each object, below it where the edit has a path.
func (k kind) each(args []string, edit topology.Edit) (edits []topology.Edit, err error) {
	below := edit.Path
	for _, arg := range args {
		at, err := k.at(strings.Split(arg, "/"))
		if err != nil {
			return nil, err
		}
		if below != "" {
			at = append(at, below)
		}
		edit.Path = topology.JoinPath(at...)
		edits = append(edits, edit)
	}
	return edits, nil
}

// words are edits for names of which nothing else is said: new ones, or those that
// a prefix finds in the list.
func (k kind) words(prefix string) func(args []string) ([]topology.Edit, error) {
	return func(args []string) (edits []topology.Edit, err error) {
		for _, arg := range args {
			edit := topology.Edit{Path: k.file, Value: quoted(arg)}
			if prefix != "" {
				list := strings.TrimSuffix(k.file, "/"+topology.AtEnd)
				edit = topology.Edit{Path: topology.JoinPath(list, prefix+arg)}
			}
			edits = append(edits, edit)
		}
		return edits, nil
	}
}

// instanceState is what accounts do to instances beside creating them.
type instanceState struct {
	verb, short, long string
	edit              topology.Edit // below the instance where it has a path
}

var instanceStates = []instanceState{
	{
		"stop", "Switch instances off, which keep their addresses",
		"Switch instances off: their programs end, their addresses do not answer, and their servers\n" +
			"become unhealthy. They keep their addresses, and \"start\" switches them on again.",
		topology.Edit{Path: "state", Value: topology.StateStopped},
	},
	{
		"start", "Switch instances on again", "Switch instances on again that were stopped.",
		topology.Edit{Path: "state"},
	},
	{
		"terminate", "Delete instances, and take them out of their server groups",
		"Delete instances. They leave their server groups first, as in the clouds; \"delete\" refuses\n" +
			"to delete what a server group has.", topology.Edit{Leave: true},
	},
}

func instanceCommands(k kind) []*cobra.Command {
	commands := []*cobra.Command{
		k.command("run "+k.name+" [KEY=VALUE...]", "Create an instance, as \"create\" does", "", 1, k.create),
	}
	for _, s := range instanceStates {
		cmd := k.command(s.verb+" "+k.name+"...", s.short, k.name, 1,
			func(args []string) ([]topology.Edit, error) { return k.each(args, s.edit) })
		cmd.Long = s.long
		commands = append(commands, cmd)
	}
	return commands
}

// tagsKey is the key of an object's tags.
const tagsKey = "tags"

// read reads KEY=VALUE: the parts of the key, and the value as YAML.
func (k kind) read(arg string) (key []string, value string, err error) {
	name, text, ok := strings.Cut(arg, "=")
	if !ok {
		return nil, "", fmt.Errorf("%q is not KEY=VALUE", arg)
	}
	key = strings.Split(name, ".")
	// The keys of tags may have dots.
	if key[0] == tagsKey && len(key) > 1 {
		key = []string{tagsKey, strings.Join(key[1:], ".")}
	}
	above := append(strings.Split(k.file, "/"), key[:len(key)-1]...)
	keys := topofile.KeysAt(topology.JoinPath(above...))
	i := slices.IndexFunc(keys, func(known topofile.Key) bool { return known.Name == key[len(key)-1] })
	if i < 0 && len(keys) > 0 {
		names := spell.Names(keys, func(k *topofile.Key) string { return k.Name })
		return nil, "", fmt.Errorf("%s has no key %q: %s", k.what, name, spell.Suggest(key[len(key)-1], names))
	}
	switch {
	case text == "":
		return key, text, nil
	case i < 0 && topofile.IsText(topology.JoinPath(append(strings.Split(k.file, "/"), key...)...)):
		return key, quoted(text), nil
	case i < 0:
		return key, text, nil
	case keys[i].List && !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{"):
		return key, quoted(strings.Split(text, ",")), nil
	case keys[i].Text:
		return key, quoted(text), nil
	}
	return key, text, nil
}

// quoted is a value as JSON, which is YAML.
func quoted(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic("words can be written: " + err.Error())
	}
	return string(text)
}
