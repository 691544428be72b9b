package topofile

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/syntax"
)

// command is a program with its arguments: a list, or a text that is split as a
// shell splits it.
type command struct{ words }

func (c *command) read(r *reader, node *yaml.Node, t tag) {
	if node.Kind == yaml.SequenceNode {
		c.words.read(r, node, t)
	} else {
		var one value[string]
		one.read(r, node, t)
		c.Bad = !one.given()
		if one.given() {
			argv, err := splitCommand(one.V)
			if err != nil {
				r.problem(node, `write a list: [sh, -c, "..."] for what only a shell can do`, "%s: %v", t.path, err)
				c.Bad = true
				return
			}
			c.V, c.Node = argv, node
		}
	}
	for _, word := range c.V {
		if strings.ContainsRune(word, 0) { // execve(2) takes strings that end there
			r.problem(c.Node, "remove it", "%s: an argument of a program cannot have the character U+0000", t.path)
			c.Bad = true
			return
		}
	}
}

// splitCommand gives the words of a simple command with their quotes removed
// (POSIX.1-2024, Shell Command Language, 2.2 and 2.9.1). What only a shell can
// do, such as variables and pipes, is an error and not passed on as text.
func splitCommand(text string) ([]string, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "")
	var wrong syntax.ParseError
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s, at character %d", strings.Replace(wrong.Text, "reached EOF", "it ends", 1),
			wrong.Pos.Offset()+1)
	}
	if err != nil {
		return nil, err
	}
	if len(file.Stmts) == 0 {
		return nil, nil
	}
	s := file.Stmts[0]
	call, simple := s.Cmd.(*syntax.CallExpr)
	if len(file.Stmts) > 1 || !simple || len(call.Assigns)+len(s.Redirs) > 0 ||
		s.Background || s.Negated || s.Semicolon.IsValid() {
		return nil, errors.New("it is more than one program with its arguments, which only a shell can run")
	}
	var words []string
	for _, w := range call.Args {
		word, err := unquoted(text, w.Parts, false)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, nil
}

// unquoted is the text of a word's parts.
func unquoted(text string, parts []syntax.WordPart, quoted bool) (string, error) {
	var b strings.Builder
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescaped(p.Value, quoted))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			inner, err := unquoted(text, p.Parts, true)
			if err != nil {
				return "", err
			}
			b.WriteString(inner)
		default:
			from, to := part.Pos().Offset(), part.End().Offset()
			return "", fmt.Errorf("only a shell can say what %s is", text[from:to])
		}
	}
	return b.String(), nil
}

// unescaped removes backslashes. Within double quotes they stand for themselves
// before most characters.
func unescaped(text string, quoted bool) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && (!quoted || strings.IndexByte("$`\"\\\n", text[i+1]) >= 0) {
			if i++; text[i] == '\n' {
				continue // a line that goes on
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
