package shmkit_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The program that the README shows is the one that is compiled and tested.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	code, _, found = strings.Cut(code, "```\n")
	require.True(t, found)
	program, err := os.ReadFile("examples/square/main.go")
	require.NoError(t, err)
	require.Equal(t, string(program[strings.Index(string(program), "package main"):]), code)
}

var (
	link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

	// fenced code has brackets of its own.
	fenced = regexp.MustCompile("(?s)```.*?```")
)

// Links between the project's own pages lead somewhere.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range append(pages, "README.md", "docs/models/README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(filepath.Dir(page), m[1]))
			assert.NoError(t, err, "%s: link to %s", page, m[1])
		}
	}
}
