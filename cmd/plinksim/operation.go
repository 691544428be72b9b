package main

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// operation is the command of one operation of the control plane, a row of the
// tables in service.go, endpoint.go, connection.go, server.go and nat.go.
type operation struct {
	verb topology.Verb
	path string // what it is called below plinksim: connection accept
	also string // another name for it
	// alias is another last word of path.
	alias string
	// args are the arguments as people read them: one in brackets may be left
	// out, and the last may be given several times where it ends in dots, an
	// operation for each. keys are the operation's keys that they are for.
	args                 string
	keys                 topology.Keys
	flags                []flag
	some                 bool // at least one of the flags must be given
	short, long, example string
	// show prints what came of it, in place of the event's text.
	show func(cmd *cobra.Command, now status.Lab, o topology.Operation)
}

// operations are the rows of all tables. Every command asks for them many times while
// the tree of commands is made.
var operations = sync.OnceValue(func() []operation {
	return slices.Concat(serviceOperations, endpointOperations, connectionOperations, serverOperations, natOperations)
})

// operationsBelow are the commands of operations right below a group.
func operationsBelow(path string) (commands []*cobra.Command) {
	for _, op := range operations() {
		if name, ok := strings.CutPrefix(op.path, path+" "); ok && !strings.Contains(name, " ") {
			commands = append(commands, op.command())
		}
	}
	return commands
}

// operationOf is the row of a verb.
func operationOf(verb topology.Verb) operation {
	all := operations()
	return all[slices.IndexFunc(all, func(op operation) bool { return op.verb == verb })]
}

// operationAt is the row with a path, nil where there is none.
func operationAt(path string) *operation {
	all := operations()
	i := slices.IndexFunc(all, func(op operation) bool {
		return op.path == path || op.alias != "" && strings.TrimSuffix(op.path, lastWord(op.path))+op.alias == path
	})
	if i < 0 {
		return nil
	}
	return &all[i]
}

// group is a command that only has commands below it: those that are given
// and those of operations, and of the kind of objects that is called so.
func group(path, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: lastWord(path), Short: short, Long: long, Args: unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	cmd.AddCommand(operationsBelow(path)...)
	if k := kindAt(path); k != nil {
		cmd.AddCommand(k.commands()...)
	}
	return cmd
}

func lastWord(path string) string { return path[strings.LastIndex(path, " ")+1:] }

// command makes the command.
func (op operation) command() *cobra.Command {
	var on target
	var noWait bool
	o := topology.Operation{Verb: op.verb}
	cmd := op.reading(&on, &o, func(cmd *cobra.Command, calls []topology.Operation) error {
		client, err := on.client(cmd.Context(), "")
		for i := 0; i < len(calls) && err == nil; i++ {
			err = op.do(cmd, client, &on, calls[i], !noWait)
		}
		return err
	})
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return at once, not when it is in force")
	on.addFlags(cmd)
	if k := op.kind(); k != nil {
		op.takePairs(cmd, &on, &o, *k)
	}
	return cmd
}

// reading is the command without what it does with the operations that its
// command line asks for. Its flags are read into o.
func (op operation) reading(on *target, o *topology.Operation,
	do func(*cobra.Command, []topology.Operation) error) *cobra.Command {
	least, most := op.arguments()
	cmd := &cobra.Command{
		Use: lastWord(op.path) + " " + op.args, Short: op.short, Long: op.long, Example: op.example,
		Args: takes(cobra.RangeArgs(least, most), op.args),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return op.complete(cmd, on.lab, *o, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			calls, err := op.read(cmd, *o, args)
			if err != nil {
				return &usageError{err}
			}
			return do(cmd, calls)
		},
	}
	for _, f := range op.flags {
		f.add(cmd, on, op, o)
	}
	if op.alias != "" {
		cmd.Aliases = []string{op.alias}
	}
	cmd.Flags().StringVar(&o.As, "as", "", "act as this account; as the one that may where it is missing")
	cmd.RegisterFlagCompletionFunc("as", completeAccounts(on))
	return cmd
}

// arguments is how many there may be.
func (op operation) arguments() (least, most int) {
	words := strings.Fields(op.args)
	for _, w := range words {
		if !strings.HasPrefix(w, "[") {
			least++
		}
	}
	if strings.HasSuffix(op.args, "...") {
		return least, 100
	}
	return least, len(words)
}

// read gives the operation its arguments; o has the flags already.
func (op operation) read(cmd *cobra.Command, o topology.Operation, args []string) (calls []topology.Operation,
	err error) {
	keys := op.keys.List()
	calls = []topology.Operation{o}
	for i, text := range args {
		if i >= len(keys) { // one more of the last
			calls = append(calls, calls[0])
		}
		if err := calls[len(calls)-1].Set(keys[min(i, len(keys)-1)], text); err != nil {
			return nil, fmt.Errorf("%s: %w", cmd.CommandPath(), err)
		}
	}
	needed := []string{}
	has := func(f flag) bool { return cmd.Flags().Changed(f.name) || slices.ContainsFunc(f.keys.List(), o.Given) }
	missing := op.some && !slices.ContainsFunc(op.flags, has)
	for _, f := range op.flags {
		needs := slices.ContainsFunc(f.keys.List(), o.Spec().Needs.Has)
		if needs || op.some {
			needed = append(needed, "--"+f.name)
		}
		missing = missing || needs && !has(f)
	}
	if missing {
		return nil, fmt.Errorf("%q needs %s", cmd.CommandPath(), strings.Join(needed, ", "))
	}
	return calls, nil
}

func (op operation) do(cmd *cobra.Command, client *api.Client, on *target, o topology.Operation, wait bool) error {
	call := api.Call{Operation: o}
	if wait {
		call.WaitSeconds = 30
	}
	event, err := client.Do(cmd.Context(), call)
	switch {
	case err != nil:
		return err
	case on.output == "json":
		return printJSON(cmd.OutOrStdout(), oneEvent{status.NewHead(), event})
	case op.show != nil:
		now, err := client.Status(cmd.Context())
		if err == nil {
			op.show(cmd, now, o)
		}
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), event.Text)
	return nil
}

// complete completes an argument from what the lab has.
func (op operation) complete(cmd *cobra.Command, labName string, o topology.Operation, args []string) []string {
	keys := op.keys.List()
	if len(args) >= len(keys) && !strings.HasSuffix(op.args, "...") {
		return nil
	}
	last := min(len(args), len(keys)-1)
	return completeKey(cmd, labName, given(o, keys[:last], args), keys[last])
}

func completeKey(cmd *cobra.Command, labName string, o topology.Operation, key string) []string {
	names := completions[key]
	if names == nil {
		return nil
	}
	now, err := statusForCompletion(cmd, labName)
	if err != nil {
		return nil
	}
	return names(now, o)
}

// remedyLine is the command line of a remedy.
func remedyLine(r topology.Remedy) string {
	switch f := r.Fault; {
	case f == nil:
		return commandLine(*r.Do)
	case f.Verb == topology.FaultSet:
		return fmt.Sprintf("plinksim fault set %s --bandwidth %s", f.Target,
			topology.FormatRate(int64(*f.Bandwidth)*1e6))
	default:
		return fmt.Sprintf("plinksim fault %s %s", f.Verb, f.Target)
	}
}

// commandLine is the command line that does an operation. What the operation
// needs and does not have stands in capitals: the user chooses it.
func commandLine(o topology.Operation) string {
	op, spec := operationOf(o.Verb), o.Spec()
	words := []string{"plinksim", cmp.Or(op.also, op.path)}
	for i, key := range op.keys.List() {
		switch {
		case o.Given(key):
			words = append(words, quoteWord(o.Text(key)))
		case spec.Needs.Has(key):
			words = append(words, strings.Fields(op.args)[i])
		}
	}
	for _, f := range op.flags {
		switch given := f.words(o); {
		case len(given) > 0:
			words = append(words, given...)
		case slices.ContainsFunc(f.keys.List(), spec.Needs.Has):
			words = append(words, "--"+f.name, f.placeholder(spec))
		}
	}
	if o.As != "" {
		words = append(words, "--as", o.As)
	}
	if creates := spec.Creates.List(); len(creates) > 0 && !slices.ContainsFunc(creates, o.Given) {
		words = append(words, "--help") // it says what can be created
	}
	return strings.Join(words, " ")
}

// quoteWord writes a word as shells read it.
func quoteWord(text string) string {
	if text != "" && !strings.ContainsAny(text, " '\"\\$&|;<>()*?[]#~`!") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// flag is a flag of an operation's command.
type flag struct {
	name  string
	keys  topology.Keys // one, or two whose values are written with a colon or @ between
	usage string
}

func (f flag) add(cmd *cobra.Command, on *target, op operation, o *topology.Operation) {
	value := cmd.Flags().VarPF(flagValue{f, o}, f.name, "", f.usage)
	if value.Value.Type() == "bool" {
		value.NoOptDefVal = "true"
	}
	key := f.keys.List()[0]
	complete := func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return completeKey(cmd, on.lab, given(*o, op.keys.List(), args), key), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RegisterFlagCompletionFunc(f.name, complete)
}

// given is an operation with the arguments that are there so far. What cannot
// be read is left out.
func given(o topology.Operation, keys, args []string) topology.Operation {
	for i := range min(len(keys), len(args)) {
		_ = o.Set(keys[i], args[i])
	}
	return o
}

// between stands between the values of a flag for two keys.
func (f flag) between() string {
	if f.keys.Has("zone") {
		return "@"
	}
	return ":"
}

// placeholder stands for a value that the user must choose.
func (f flag) placeholder(spec *topology.Spec) string {
	keys := slices.DeleteFunc(f.keys.List(), func(key string) bool { return !spec.Needs.Has(key) })
	text := strings.ToUpper(strings.Join(keys, f.between()))
	for _, kind := range []string{"NAT_", "ACCESS_"} {
		text = strings.ReplaceAll(text, kind, "")
	}
	return strings.ReplaceAll(text, "IP", "ADDRESS")
}

// words are the flag and its value in an operation, none where it has none.
func (f flag) words(o topology.Operation) (words []string) {
	var texts []string
	for _, key := range f.keys.List() {
		if o.Given(key) {
			texts = append(texts, o.Text(key))
		}
	}
	text := strings.Join(texts, f.between())
	switch {
	case len(texts) == 0:
		return nil
	case f.keys == "resources":
		for _, one := range strings.Fields(text) {
			words = append(words, "--"+f.name, one)
		}
		return words
	case topology.KeyKind(f.keys.List()[0]) == reflect.Bool:
		return []string{strings.TrimSuffix("--"+f.name+"="+text, "=true")}
	}
	return []string{"--" + f.name, quoteWord(text)}
}

// flagValue sets what a flag says in an operation.
type flagValue struct {
	flag
	o *topology.Operation
}

func (v flagValue) Set(text string) error {
	keys := v.keys.List()
	if len(keys) == 1 {
		return v.o.Set(keys[0], text)
	}
	at := strings.LastIndex(text, v.between())
	if at < 0 {
		if v.o.Spec().Needs.Has(keys[1]) {
			return fmt.Errorf("it has no %s", strings.ReplaceAll(keys[1], "_", " "))
		}
		return v.o.Set(keys[0], text)
	}
	if err := v.o.Set(keys[0], text[:at]); err != nil {
		return err
	}
	return v.o.Set(keys[1], text[at+1:])
}

func (v flagValue) String() string { return "" }

func (v flagValue) Type() string {
	switch topology.KeyKind(v.keys.List()[0]) {
	case reflect.Bool:
		return "bool"
	case reflect.Int:
		return "number"
	}
	return "text"
}

func statusForCompletion(cmd *cobra.Command, labName string) (status.Lab, error) {
	on := target{lab: labName, output: "table"}
	client, err := on.client(cmd.Context(), "")
	if err != nil {
		return status.Lab{}, err
	}
	return client.Status(cmd.Context())
}

func completeAccounts(on *target) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return accountNames(cmd.Context(), on.lab), cobra.ShellCompDirectiveNoFileComp
	}
}

func accountNames(ctx context.Context, labName string) []string {
	_, plan, err := labPlan(ctx, labName)
	if err != nil {
		return nil
	}
	var names []string
	for _, a := range plan.Accounts {
		names = append(names, a.Name)
	}
	return names
}

// completions are what the value of a key can be, in an operation of which the
// keys before it are there.
var completions = map[string]func(now status.Lab, o topology.Operation) []string{
	"service": func(now status.Lab, _ topology.Operation) []string {
		return namesOf(now.Services, func(s status.EndpointService) string { return s.Name })
	},
	"endpoint": func(now status.Lab, o topology.Operation) []string {
		return namesOf(now.Endpoints, func(e status.Endpoint) string {
			if o.Service != "" && e.Service != o.Service {
				return ""
			}
			return e.Name
		})
	},
	"zone": func(now status.Lab, o topology.Operation) (names []string) {
		for _, ep := range now.Endpoints {
			if ep.Name == o.Endpoint && o.Verb != topology.VerbZoneAdd {
				return namesOf(ep.Zones, func(z status.Zone) string { return z.Zone })
			}
		}
		return nil
	},
	"security_group": func(now status.Lab, o topology.Operation) []string {
		for _, ep := range now.Endpoints {
			if ep.Name == o.Endpoint && o.Verb == topology.VerbGroupRemove {
				return ep.SecurityGroups
			}
		}
		return nil
	},
	"account": func(now status.Lab, _ topology.Operation) []string {
		return namesOf(now.VPCs, func(v status.VPC) string { return v.Account })
	},
	"vpc": func(now status.Lab, _ topology.Operation) []string {
		return namesOf(now.VPCs, func(v status.VPC) string { return v.Name })
	},
	"resource": loadBalancerNames,
	"resources": func(now status.Lab, o topology.Operation) (names []string) {
		for _, s := range now.Services {
			if s.Name == o.Service {
				return s.Resources
			}
		}
		return nil
	},
	"load_balancers": loadBalancerNames,
	"server_group": func(now status.Lab, _ topology.Operation) []string {
		return namesOf(now.ServerGroups, func(g status.ServerGroup) string { return g.Name })
	},
	"server": func(now status.Lab, o topology.Operation) []string {
		for _, g := range now.ServerGroups {
			if g.Name == o.ServerGroup && o.Verb != topology.VerbServerRegister {
				return namesOf(g.Servers, serverName)
			}
		}
		return nil
	},
	"nat_gateway": func(now status.Lab, _ topology.Operation) []string { return gatewayNames(now) },
	"nat_ip": func(now status.Lab, o topology.Operation) []string {
		if g := gatewayOf(now, o.NATGateway); g != nil && o.Verb != topology.VerbNATIPCreate {
			return namesOf(g.NATIPs, func(ip status.NATIP) string { return ip.IP.String() })
		}
		return nil
	},
	"entry": func(now status.Lab, o topology.Operation) []string {
		if g := gatewayOf(now, o.NATGateway); g != nil && o.Verb != topology.VerbEntryCreate {
			return namesOf(g.Entries, func(e status.FullNATEntry) string { return e.Name })
		}
		return nil
	},
	"protocol": func(status.Lab, topology.Operation) []string { return []string{"tcp", "udp"} },
}

func loadBalancerNames(now status.Lab, _ topology.Operation) []string {
	return namesOf(now.LoadBalancers, func(b status.LoadBalancer) string { return b.Name })
}

func serverName(s status.Server) string {
	_, name, _ := strings.Cut(s.Instance, "/")
	return fmt.Sprintf("%s:%d", name, s.Address.Port())
}

// namesOf are the names of objects, without those that have none here.
func namesOf[T any](objects []T, name func(T) string) (names []string) {
	for _, o := range objects {
		if n := name(o); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// allServices and allEndpoints complete the arguments of listings.
func allServices(now status.Lab, _ []string) []string {
	return completions["service"](now, topology.Operation{})
}

func allEndpoints(now status.Lab, _ []string) []string {
	return completions["endpoint"](now, topology.Operation{})
}
