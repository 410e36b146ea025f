//go:build linux && (amd64 || arm64)

package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestCheckSealsNamesWhatIsMissing(t *testing.T) {
	for want, seals := range map[string]int{
		"against SHRINK and GROW:": 0,
		"against SHRINK:":          unix.F_SEAL_GROW,
		"against GROW:":            unix.F_SEAL_SHRINK,
		"":                         unix.F_SEAL_GROW | unix.F_SEAL_SHRINK,
	} {
		fd, err := unix.MemfdCreate("seals", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		require.NoError(t, err)
		f := os.NewFile(uintptr(fd), "seals")
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
		require.NoError(t, err)
		if err = CheckSeals(f); want == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, want)
		}
		require.NoError(t, f.Close())
	}
}

// A retired mapping holds no memory, and can be unmapped as before.
func TestRetire(t *testing.T) {
	f, err := Memfd("retire", 1)
	require.NoError(t, err)
	defer f.Close()
	m, err := mmap.MapRegion(f, 1, mmap.RDWR, 0, 0)
	require.NoError(t, err)
	require.NoError(t, Retire(m))
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	assert.NotContains(t, string(maps), "memfd:retire")
	assert.NoError(t, m.Unmap())
}

// A path may come to lead to a FIFO after it was looked at: opening it does not wait.
func TestOpenQuickDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	opened := make(chan error, 1)
	go func() {
		f, err := OpenQuick(path)
		opened <- errors.Join(err, f.Close())
	}()
	select {
	case err := <-opened:
		assert.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Error("it waits for a writer")
	}
}
