//go:build linux && (amd64 || arm64)

package inspect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzMappedName: a line of /proc/PID/maps, in which the name is anybody's.
func FuzzMappedName(f *testing.F) {
	for _, seed := range []string{"7f01-7f02 rw-s 00000000 00:1a 12 /dev/shm/a\n", "7f01-7f02 rw-s 00000000 00:1a 12 /dev/shm/a b (deleted)\n", "/dev/shm/", "",
		"1 2 3 4 x /dev/shm/y", "1 2 3 4 99999999999999999999 /dev/shm/y", "1 2 3 4 5 /dev/shm//dev/shm/ (deleted) (deleted)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if name, _, ok := mappedName(line); ok {
			require.Contains(t, line, namedPrefix+name)
		}
	})
}

// FuzzStatus: a process puts into its status what it likes.
func FuzzStatus(f *testing.F) {
	for _, seed := range []string{ordinary, "Name:\tx\nUid:\t\nNSpid:\n", "State:\tZ\n", "NSpid:\t1\t2\t3\nPPid:\t99999999999999999999\n", ":::", "Name:\nName"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, status string) {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "5"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "5", "status"), []byte(status), 0o600))
		p, _, err := processAt(dir, 5)
		if err == nil {
			require.Equal(t, 5, p.Pid)
			require.False(t, strings.ContainsAny(p.Command, "\n\t"))
		}
	})
}
