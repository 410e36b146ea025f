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

// shown says where the Go code of the README's sections stands as well, to be compiled and run: a whole program, or a part of an
// example.
var shown = map[string]string{
	"The program":               "examples/square/main.go",
	"Processes that exchange":   "examples/sum/main.go",
	"Shared memory with Python": "shm/example_test.go",
}

func TestReadmeShowsWhatIsTested(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for section, file := range shown {
		_, text, found := strings.Cut(string(readme), "## "+section+"\n")
		require.True(t, found, section)
		_, code, found := strings.Cut(text, "```go\n")
		require.True(t, found, section)
		code, _, _ = strings.Cut(code, "```\n")
		tested, err := os.ReadFile(file)
		require.NoError(t, err)
		if whole := strings.Index(string(tested), "package main"); whole >= 0 {
			assert.Equal(t, string(tested[whole:]), code, "section %s, beside %s", section, file)
			continue
		}
		assert.True(t, strings.Contains(unindented(string(tested)), unindented(code)), "section %s shows what is not in %s:\n%s", section, file, code)
	}
}

func unindented(code string) string {
	return regexp.MustCompile(`(?m)^\t+`).ReplaceAllString(code, "")
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
