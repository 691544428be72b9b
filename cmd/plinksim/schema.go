package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim"
	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topofile"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [COMMAND]",
		Short: "Print the JSON Schema of topology files, or of what a command prints",
		Long: `Print the JSON Schema of topology files. An editor that supports YAML schemas
completes and explains the keys if the first line of the file is

  # yaml-language-server: $schema=plinksim.schema.json

With a command, print the JSON Schema of what it prints with "-o json"; of "events"
and "dns watch" that is each line. docs/reference/output.md is the same for people.`,
		Example: "  plinksim schema >plinksim.schema.json\n" +
			"  plinksim schema status\n" +
			"  plinksim schema service show",
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (words []string, _ cobra.ShellCompDirective) {
			all, err := readOutputSchema()
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			typed := strings.Join(append(args, ""), " ")
			for _, command := range all.commands() {
				if rest, ok := strings.CutPrefix(command, typed); ok {
					word, _, _ := strings.Cut(rest, " ")
					words = append(words, word)
				}
			}
			return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				text, err := topofile.Schema()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			all, err := readOutputSchema()
			if err != nil {
				return err
			}
			part, err := all.of(strings.Join(args, " "))
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), part)
		},
	}
}

// schemaText is a JSON Schema whose definitions are kept as they are written.
type schemaText struct {
	Schema      string                     `json:"$schema,omitempty"`
	Title       string                     `json:"title,omitempty"`
	Description string                     `json:"description,omitempty"`
	Ref         string                     `json:"$ref,omitempty"`
	AnyOf       []schemaText               `json:"anyOf,omitempty"`
	Defs        map[string]json.RawMessage `json:"$defs,omitempty"`
}

func readOutputSchema() (all schemaText, err error) {
	if err := json.Unmarshal(plinksim.OutputSchema, &all); err != nil {
		return all, fmt.Errorf("the schema that the program carries: %w", err)
	}
	return all, nil
}

const commandPrefix = "plinksim "

// commands are the commands of which s has a schema, in order.
func (s schemaText) commands() (commands []string) {
	for name := range s.Defs {
		if command, ok := strings.CutPrefix(name, commandPrefix); ok {
			commands = append(commands, command)
		}
	}
	slices.Sort(commands)
	return commands
}

var schemaRef = regexp.MustCompile(`"#/\$defs/([^"]*)"`)

// of is the schema of what one command prints, with the definitions that it uses.
func (s schemaText) of(command string) (part schemaText, err error) {
	begin, ok := s.Defs[commandPrefix+command]
	if !ok {
		return part, withHint(fmt.Errorf("%q prints no JSON that has a schema", command), "%s; without a command, it is "+
			"the schema of topology files", spell.Suggest(command, s.commands()))
	}
	if err := json.Unmarshal(begin, &part); err != nil {
		return part, err
	}
	part.Schema, part.Title, part.Defs = s.Schema, commandPrefix+command+" -o json", map[string]json.RawMessage{}
	for rest := []json.RawMessage{begin}; len(rest) > 0; rest = rest[1:] {
		for _, ref := range schemaRef.FindAllSubmatch(rest[0], -1) {
			name := string(ref[1])
			if _, known := part.Defs[name]; !known {
				part.Defs[name] = s.Defs[name]
				rest = append(rest, s.Defs[name])
			}
		}
	}
	return part, nil
}
