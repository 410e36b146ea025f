//go:build linux && (amd64 || arm64)

package pool

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rollup returns what the kernel says of a process's memory, in bytes.
func rollup(t *testing.T, pid int) map[string]int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	require.NoError(t, err)
	sizes := map[string]int{}
	for line := range strings.Lines(string(data)) {
		var kib int
		if name, text, found := strings.Cut(line, ":"); found && strings.HasSuffix(line, " kB\n") {
			_, err := fmt.Sscan(text, &kib)
			require.NoError(t, err)
			sizes[name] = kib << 10
		}
	}
	return sizes
}

// A worker of a program that does little is small: what it shares with its parent counts by
// halves or less, and what it has for itself is mostly the Go runtime's. The test binary
// would not show it, so a program is built as its users would.
func TestIdleWorkerIsSmall(t *testing.T) {
	t.Parallel() // it looks at processes of its own
	const mib = 1 << 20
	program := filepath.Join(t.TempDir(), "idleworker")
	out, err := exec.Command("go", "build", "-o", program, "./testdata/idleworker").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			parent := run(t, exec.Command(program, fmt.Sprint(workers)))
			parent.hear(t, "idle")
			pids := children(t, parent.pid)
			require.Len(t, pids, workers)
			for _, pid := range pids {
				sizes := rollup(t, pid)
				t.Logf("Pss %d KiB, Private_Dirty %d KiB", sizes["Pss"]>>10, sizes["Private_Dirty"]>>10)
				require.Positive(t, sizes["Pss"])
				assert.LessOrEqual(t, sizes["Pss"], 3*mib)
				assert.LessOrEqual(t, sizes["Private_Dirty"], 3*mib/2)
			}
		})
	}
}
