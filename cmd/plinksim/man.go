package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/plinksim/plinksim"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages to a directory",
		Long: `Write a manual page for each command, for topology files, plinksim-topology(5),
and for what differs between the clouds, plinksim-clouds(7), to DIR/man1, man5 and
man7. Packages have them already.`,
		Example: "  plinksim man ~/.local/share/man\n" +
			"  man plinksim-up",
		Args: takes(cobra.ExactArgs(1), "a directory"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error { return writeMan(cmd.Root(), args[0]) },
	}
}

// writeMan writes the same bytes each time: SOURCE_DATE_EPOCH, which cobra reads,
// gives the date of the pages.
func writeMan(root *cobra.Command, dir string) error {
	for _, section := range []string{"man1", "man5", "man7"} {
		if err := os.MkdirAll(filepath.Join(dir, section), 0o755); err != nil {
			return err
		}
	}
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "plinksim " + version, Manual: "plinksim"}
	if err := doc.GenManTree(root, header, filepath.Join(dir, "man1")); err != nil {
		return err
	}
	for _, page := range []struct{ name, section, title, text string }{
		{"plinksim-topology", "5", "the keys of a topology file", plinksim.TopologyReference},
		{"plinksim-clouds", "7", "what differs between the clouds", plinksim.CloudReference},
	} {
		file := filepath.Join(dir, "man"+page.section, page.name+"."+page.section)
		if err := os.WriteFile(file, manPage(page.name, page.section, page.title, page.text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

var linkInPage = regexp.MustCompile(`\[([^\]]*)\]\(#[^)]*\)`)

// manPage is a page of the reference for man. Its own title gives way to the
// sections that every manual page begins with.
func manPage(name, section, title, markdown string) []byte {
	_, body, _ := strings.Cut(markdown, "\n")
	text := fmt.Sprintf("%% %s %s \"\" \"plinksim %s\" plinksim\n# NAME\n\n%s - %s\n\n# DESCRIPTION\n%s",
		name, section, version, name, title, linkInPage.ReplaceAllString(body, "$1"))
	return md2man.Render([]byte(text))
}
