package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
}

// kinds are all that have commands of their own beside services, endpoints and
// gateways. Those whose file ends in "-" are elements of lists.
var kinds = []kind{
	{"vpc", "vpcs/*", "VPC", "a VPC", "cidr=10.0.0.0/16"},
	{"subnet", "vpcs/*/subnets/*", "VPC/SUBNET", "a subnet", "zone=eu-central-1b cidr=10.0.0.0/24"},
	{"security-group", "vpcs/*/security_groups/*", "VPC/GROUP", "a security group", ""},
	{"security-group ingress", "vpcs/*/security_groups/*/ingress/-", "VPC/GROUP", "a rule for what comes",
		"protocol=tcp ports=80 source=0.0.0.0/0"},
	{"security-group egress", "vpcs/*/security_groups/*/egress/-", "VPC/GROUP", "a rule for what goes",
		"protocol=all destination=10.0.0.0/8"},
	{"instance", "vpcs/*/instances/*", "VPC/INSTANCE", "an instance", "subnet=vsw1 security_groups=web"},
	{"instance service", "vpcs/*/instances/*/services/-", "VPC/INSTANCE", "a program of an instance",
		"http=80 body=hello"},
	{"server-group", "server_groups/*", "GROUP", "a server group", "vpc=vpc2 servers=[]"},
	{"target", "server_groups/*/servers/-", "GROUP", "a server of a group", "instance=ecs2 port=80"},
	{"load-balancer", "load_balancers/*", "LOAD_BALANCER", "a load balancer",
		"type=clb vpc=vpc2 subnets=vsw2 listeners=[]"},
	{"listener", "load_balancers/*/listeners/-", "LOAD_BALANCER", "a listener",
		"protocol=tcp port=80 server_group=rs1"},
	{"private-zone", "private_zones/*", "ZONE", "a private zone", "domain=corp.example vpcs=vpc1 records=[]"},
	{"private-zone record", "private_zones/*/records/-", "ZONE", "a record of a private zone", "name=www a=10.0.0.5"},
	{"public-zone", "public_zones/*", "ZONE", "a public zone", "domain=example.com records=[]"},
	{"public-zone record", "public_zones/*/records/-", "ZONE", "a record of a public zone", "name=www a=10.0.0.5"},
}

// newKinds are the commands of all kinds.
func newKinds() (commands []*cobra.Command) {
	for _, k := range kinds {
		if strings.Contains(k.path, " ") {
			continue
		}
		var below []*cobra.Command
		for _, part := range kinds {
			if strings.HasPrefix(part.path, k.path+" ") {
				below = append(below, group(part.path, "Add "+part.what+", or change or remove it",
					"Add "+part.what+" to a running lab, or change or remove it: see \"plinksim edit --help\".",
					part.commands()...))
			}
		}
		commands = append(commands, group(k.path, "Create "+k.what+", or change or delete it",
			"Create "+k.what+" in a running lab, or change or delete it: see \"plinksim edit --help\".",
			append(k.commands(), below...)...))
	}
	return commands
}

func (k kind) isElement() bool { return strings.HasSuffix(k.file, "/"+topology.AtEnd) }

// commands are create, set and delete, or add, set and remove of elements.
func (k kind) commands() []*cobra.Command {
	if k.isElement() {
		which := "WHICH" // port=80,protocol=tcp
		return []*cobra.Command{
			k.command("add "+k.name+" KEY=VALUE...", "Add "+k.what, k.name+" "+k.example, 2, k.create),
			k.command("set "+k.name+" "+which+" KEY=VALUE...", "Change "+k.what, "", 3, k.set),
			k.command("remove "+k.name+" "+which, "Remove "+k.what, "", 2, k.remove),
		}
	}
	return []*cobra.Command{
		k.command("create "+k.name+" [KEY=VALUE...]", "Create "+k.what, k.name+" "+k.example, 1, k.create),
		k.command("set "+k.name+" KEY=VALUE...", "Change "+k.what, "", 2, k.set),
		k.command("delete "+k.name+"...", "Delete "+k.what+" that nothing uses", "", 1, k.remove),
	}
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
	if verb == "set" || verb == "remove" {
		if k.isElement() {
			cmd.Long += " WHICH is its number from 0, or some of its keys that only it has: port=80."
		}
	}
	if verb == "delete" || verb == "remove" {
		return cmd
	}
	cmd.Long += " The keys are those of the file; a value may be YAML, a list words with\n" +
		"commas between them, and KEY.KEY a key further down. KEY= takes a key away.\n\n" + k.keysHelp()
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return k.completeKey(word), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return cmd
}

func (k kind) keysHelp() string {
	var b strings.Builder
	for _, key := range topofile.KeysAt(k.file) {
		doc := key.Doc
		if len(key.Enum) > 0 {
			doc += " (" + strings.Join(key.Enum, ", ") + ")"
		}
		fmt.Fprintf(&b, "  %-18s %s\n", key.Name, doc)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (k kind) completeKey(word string) (out []string) {
	name, _, valued := strings.Cut(word, "=")
	for _, key := range topofile.KeysAt(k.file) {
		if !valued {
			out = append(out, key.Name+"=")
			continue
		}
		for _, value := range key.Enum {
			if key.Name == name {
				out = append(out, key.Name+"="+value)
			}
		}
	}
	return out
}

// at is the path of the object that an argument names.
func (k kind) at(text string) ([]string, error) {
	names := strings.Split(text, "/")
	parts := strings.Split(k.file, "/")
	if n := strings.Count(k.file, "*"); len(names) != n {
		return nil, fmt.Errorf("%q is not %s", text, k.name)
	}
	for i := range parts {
		if parts[i] == "*" {
			parts[i], names = names[0], names[1:]
		}
	}
	return parts, nil
}

func (k kind) create(args []string) ([]topology.Edit, error) {
	at, err := k.at(args[0])
	if err != nil {
		return nil, err
	}
	edits := []topology.Edit{{Path: topology.JoinPath(at...), New: true}}
	value, nested := map[string]json.RawMessage{}, []topology.Edit(nil)
	for _, arg := range args[1:] {
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
	for _, key := range topofile.KeysAt(k.file) {
		if text, ok := value[key.Name]; ok {
			keys = append(keys, key.Name+": "+string(text))
		}
	}
	edits[0].Value = "{" + strings.Join(keys, ", ") + "}"
	return append(edits, nested...), nil
}

func (k kind) set(args []string) (edits []topology.Edit, err error) {
	at, err := k.at(args[0])
	if err != nil {
		return nil, err
	}
	args = args[1:]
	if k.isElement() {
		at[len(at)-1], args = args[0], args[1:]
	}
	for _, arg := range args {
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
		at, err := k.at(args[0])
		for _, which := range args[1:] {
			at[len(at)-1] = which
			edits = append(edits, topology.Edit{Path: topology.JoinPath(at...)})
		}
		return edits, err
	}
	for _, arg := range args {
		at, err := k.at(arg)
		if err != nil {
			return nil, err
		}
		edits = append(edits, topology.Edit{Path: topology.JoinPath(at...)})
	}
	return edits, nil
}

// read reads KEY=VALUE: the parts of the key, and the value as YAML.
func (k kind) read(arg string) (key []string, value string, err error) {
	name, text, ok := strings.Cut(arg, "=")
	if !ok {
		return nil, "", fmt.Errorf("%q is not KEY=VALUE", arg)
	}
	key = strings.Split(name, ".")
	above := append(strings.Split(k.file, "/"), key[:len(key)-1]...)
	keys := topofile.KeysAt(topology.JoinPath(above...))
	i := slices.IndexFunc(keys, func(known topofile.Key) bool { return known.Name == key[len(key)-1] })
	if i < 0 && len(keys) > 0 {
		names := spell.Names(keys, func(k *topofile.Key) string { return k.Name })
		return nil, "", fmt.Errorf("%s has no key %q: %s", k.what, name, spell.Suggest(key[len(key)-1], names))
	}
	switch {
	case text == "" || i < 0:
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
