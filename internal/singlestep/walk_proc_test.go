//go:build linux && amd64

package singlestep_test

import (
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/internal/singlestep"
)

func TestMain(m *testing.M) { leak.Main(m) }

const stores = 5

func init() {
	singlestep.Child(map[string]singlestep.Operation{
		"sleep by the wall clock": func(*os.File) func() {
			const waitBitset, clockRealtime = 9, 0x100
			return func() { _, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, 0, waitBitset|clockRealtime, 0, 0, 0, 1) }
		},
		"store": func(f *os.File) func() {
			mem, err := mmap.Map(f, mmap.RDWR, 0)
			if err != nil {
				panic(err)
			}
			return func() {
				for i := range stores {
					mem[i] = 1
				}
			}
		},
	})
}

func newMemory(t *testing.T) (*os.File, mmap.MMap) {
	fd, err := unix.MemfdCreate("shmkit:step", unix.MFD_CLOEXEC)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "memory")
	t.Cleanup(func() { f.Close() })
	require.NoError(t, f.Truncate(4096))
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mem.Unmap()) })
	return f, mem
}

// There is a kill before the first store, and one behind each; with two lanes no state is left out.
func TestEachStateIsKilled(t *testing.T) {
	var mu sync.Mutex
	var seen []int
	whole := 0
	singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
		f, mem := newMemory(t)
		require.NoError(t, w.Run("store", f, nil, mem))
		n := 0
		for n < stores && mem[n] == 1 {
			n++
		}
		require.Less(t, 3*n, w.Instructions+1, "a store takes some instructions")
		mu.Lock()
		defer mu.Unlock()
		if w.Killed {
			seen = append(seen, n)
			return
		}
		require.True(t, w.Returned)
		require.Equal(t, stores, n)
		whole = w.States
	})
	slices.Sort(seen)
	require.Equal(t, stores+1, whole)
	require.IsIncreasing(t, seen, "no state twice")
	require.True(t, len(seen) == whole || testing.Short() || len(seen) == 1, "%v", seen)
}

// What goes wrong is an error, and nothing stays behind.
func TestFailures(t *testing.T) {
	f, mem := newMemory(t)
	var w singlestep.Walk
	require.ErrorContains(t, w.Run("nonesuch", f, nil, mem), `no operation "nonesuch"`)
	require.ErrorContains(t, singlestep.ToTheEnd().Run("sleep by the wall clock", f, nil, mem), "by the wall clock")
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	err := w.Through(singlestep.Subject{Pid: cmd.Process.Pid, Tid: 1 << 30, Shared: [][]byte{mem}})
	require.ErrorContains(t, err, "needs ptrace", "there is no such thread")
	require.Error(t, cmd.Wait(), "it was killed")
}
