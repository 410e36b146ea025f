package semaphore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wallClock are names by which a program would learn the time of day, or lose the monotonic reading that each time.Now has: contexts, timers
// and differences of times go by that, and FUTEX_WAIT_BITSET and futex_waitv by CLOCK_MONOTONIC as long as nothing else is asked for.
var wallClock = []string{
	"CLOCK_REALTIME", "CLOCK_TAI", "FUTEX_CLOCK_REALTIME", "FUTEX2_CLOCK_REALTIME", "Gettimeofday", "Unix", "UnixNano", "UnixMilli", "UnixMicro",
	"Round", "Truncate", "UTC", "Local", "In",
}

// A step of the machine's clock changes nothing: no file from which something waits knows the time of day. Of the sleeps that single-step tests come to,
// package singlestep sees that they go by another.
func TestOnlyMonotonicTime(t *testing.T) {
	for _, pattern := range []string{"*.go", "../internal/backoff/*.go", "../internal/sys/futex*.go", "../internal/owner/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			require.NoError(t, err)
			file, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					assert.NotContains(t, wallClock, sel.Sel.Name, name)
				}
				return true
			})
		}
	}
}
