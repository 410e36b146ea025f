package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	yaml "go.yaml.in/yaml/v3"
)

// A table is an answer as people read it.
type table struct {
	title  string // "" if it needs none
	header []string
	rows   []row
}

// A row is a line of a table.
type row struct {
	cells []string
	mark  mark
}

// A mark says how a row looks.
type mark int

const (
	plain mark = iota
	good
	doubtful
	bad
)

var colours = map[mark]string{good: "\x1b[32m", doubtful: "\x1b[33m", bad: "\x1b[31m"}

const (
	bold     = "\x1b[1m"
	noColour = "\x1b[0m"
)

func (t *table) add(cells ...string)               { t.addMarked(plain, cells...) }
func (t *table) addMarked(m mark, cells ...string) { t.rows = append(t.rows, row{cells, m}) }

// An answer is what a command has found. As JSON and YAML it is written as it is.
type answer interface {
	tables(wide bool) []table
}

// prose is an answer that is no table for those who want one.
type prose interface {
	text(headers bool) string
}

// show writes the answer as the user wants it.
func (sh *shell) show(a answer) error {
	switch sh.format {
	case "json", "yaml":
		return sh.showData(a)
	}
	if p, is := a.(prose); is {
		_, err := io.WriteString(sh.out, p.text(!sh.noHeaders))
		return err
	}
	for i, t := range a.tables(sh.format == "wide") {
		if i > 0 && !sh.noHeaders {
			fmt.Fprintln(sh.out)
		}
		if err := sh.showTable(t); err != nil {
			return err
		}
	}
	return nil
}

func (sh *shell) showData(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if sh.format == "yaml" {
		if text, err = toYAML(text); err != nil {
			return err
		}
		text = append([]byte("---\n"), bytes.TrimSuffix(text, []byte("\n"))...)
	}
	_, err = fmt.Fprintf(sh.out, "%s\n", text)
	return err
}

// toYAML rewrites JSON, which YAML is a superset of, in the same order and with the same names.
func toYAML(text []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return nil, err
	}
	unquote(&n)
	return yaml.Marshal(&n)
}

// unquote takes away how JSON has written it.
func unquote(n *yaml.Node) {
	n.Style = 0
	for _, part := range n.Content {
		unquote(part)
	}
}

func (sh *shell) showTable(t table) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	marks := make([]string, 0, len(t.rows)+2)
	line := func(colour string, cells []string) {
		shown := make([]string, len(cells))
		for i, c := range cells {
			shown[i] = printable(c)
		}
		fmt.Fprintln(w, strings.Join(shown, "\t"))
		marks = append(marks, colour)
	}
	if !sh.noHeaders {
		if t.title != "" {
			line(bold, []string{t.title})
		}
		if len(t.header) > 0 && len(t.rows) > 0 {
			line(bold, t.header)
		}
	}
	for _, r := range t.rows {
		line(colours[r.mark], r.cells)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	coloured := sh.colours()
	i := 0
	for l := range strings.Lines(text.String()) {
		l = strings.TrimRight(l, " \n")
		if coloured && marks[i] != "" {
			l = marks[i] + l + noColour
		}
		if _, err := fmt.Fprintln(sh.out, l); err != nil {
			return err
		}
		i++
	}
	return nil
}
