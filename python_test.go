package shmkit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// publicNames prints the names that docs/from-python.md is to speak of.
const publicNames = `
import multiprocessing, concurrent.futures
from multiprocessing import shared_memory, connection, pool, queues, sharedctypes, synchronize
names = set(multiprocessing.__all__) | set(sharedctypes.__all__) | set(shared_memory.__all__) | set(concurrent.futures.__all__)
for c in (multiprocessing.Process, shared_memory.SharedMemory, shared_memory.ShareableList, pool.Pool, pool.AsyncResult,
          concurrent.futures.Future, concurrent.futures.ProcessPoolExecutor, queues.JoinableQueue, queues.SimpleQueue, connection.Connection,
          synchronize.Event, synchronize.Condition, sharedctypes.Synchronized, sharedctypes.SynchronizedArray):
    names |= {n for n in dir(c) if not n.startswith("_")}
print(*sorted(names), sep="\n")
`

var (
	quoted  = regexp.MustCompile("`[^`]+`")
	example = regexp.MustCompile(`\[(Example\w*)\]\(\.\./([^)]+)\)`)
)

func TestFromPythonNamesAll(t *testing.T) {
	page, err := os.ReadFile("docs/from-python.md")
	require.NoError(t, err)
	known := map[string]bool{}
	for row := range strings.Lines(string(page)) {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, q := range quoted.FindAllString(first, -1) {
			for _, word := range regexp.MustCompile(`\w+`).FindAllString(q, -1) {
				known[word] = true
			}
		}
	}
	out, err := exec.Command("python3", "-c", publicNames).CombinedOutput()
	require.NoError(t, err, "%s", out)
	var missing []string
	for name := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		if !known[name] {
			missing = append(missing, name)
		}
	}
	assert.Empty(t, missing, "docs/from-python.md does not speak of these")
}

// Examples that the page refers to are there, and run: an example without output is only compiled.
func TestFromPythonExamples(t *testing.T) {
	page, err := os.ReadFile("docs/from-python.md")
	require.NoError(t, err)
	found := example.FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		code, err := os.ReadFile(filepath.FromSlash(m[2]))
		require.NoError(t, err)
		_, body, ok := strings.Cut(string(code), "func "+m[1]+"() {\n")
		if assert.True(t, ok, "%s is not in %s", m[1], m[2]) {
			body, _, _ = strings.Cut(body, "\n}\n")
			assert.Contains(t, body, "Output:", "%s in %s", m[1], m[2])
		}
	}
}
