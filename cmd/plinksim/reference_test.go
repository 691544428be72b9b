package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/golden"
)

// docs/reference/commands.md has the help of every command.
func TestTheReferenceOfTheCommandsIsTrue(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# The commands

This page is made from the commands themselves: ` + "`make golden`" + ` rewrites it. ` + "`plinksim help COMMAND`" + `
prints the same in a terminal.
`)
	describeCommand(&b, newRoot(new(timeLimit)))
	golden.Equal(t, "../../docs/reference/commands.md", b.String())
}

func describeCommand(b *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n```\n%s\n```\n", cmd.CommandPath(), cmd.Short, cmd.UseLine())
	for _, part := range []struct{ title, text string }{
		{"", cmd.Long},
		{"Other names:", strings.Join(cmd.Aliases, ", ")},
		{"Flags:", cmd.NonInheritedFlags().FlagUsagesWrapped(100)},
		{"Examples:", cmd.Example},
	} {
		text := strings.TrimRight(part.text, "\n ")
		switch {
		case text == "" || text == cmd.Short:
		case part.title == "" && !strings.Contains(text, "\n  "):
			fmt.Fprintf(b, "\n%s\n", escape(text))
		case part.title == "":
			fmt.Fprintf(b, "\n```\n%s\n```\n", text)
		default:
			fmt.Fprintf(b, "\n%s\n\n```\n%s\n```\n", part.title, text)
		}
	}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() && below.Name() != "help" {
			describeCommand(b, below)
		}
	}
}

// escape keeps what a text has in common with Markdown from being read as that.
func escape(text string) string {
	return strings.NewReplacer("<", "\\<", "*", "\\*", "_", "\\_").Replace(text)
}
