//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// pass returns once the named pipe at path has a writer.
var pass = Func("pass", func(_ context.Context, path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	return 0, f.Close()
})

const stoppedQueue = 64

func init() {
	// A parent whose queue is full, and whose workers stand at a gate that its test opens.
	programs["stopped parent"] = func() {
		Main()
		var workers int
		dir := os.Getenv("SHMKIT_TEST_DIR")
		must(fmt.Sscan(os.Getenv("SHMKIT_TEST_WORKERS"), &workers))
		p := must(New(Options{Workers: workers, Queue: stoppedQueue}))
		for range workers {
			must(pass.Go(context.Background(), p, filepath.Join(dir, "gate")))
		}
		var fs []*Future[receipt]
		for i := range uint64(stoppedQueue - workers) {
			fs = append(fs, must(book.Go(context.Background(), p, booking{Dir: dir, ID: i})))
		}
		fmt.Println("full")
		right := 0
		for i, f := range fs {
			if must(f.Wait(context.Background())).ID == uint64(i) {
				right++
			}
		}
		fmt.Println("right", right)
		must(0, p.Close())
	}
}

// Workers go on while their parent is stopped, until all that it has queued has ended:
// their rings have room for it. When it goes on it finds everything.
// Seen in no suite.
func TestParentStopped(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			const queued = "ended"
			dir := t.TempDir()
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "gate"), 0o600))
			var gate *os.File
			t.Cleanup(func() { // once the parent has ended: a worker may have been slow to get there
				if gate != nil {
					gate.Close()
				}
			})
			parent := launch(t, "stopped parent", "SHMKIT_TEST_DIR="+dir, fmt.Sprintf("SHMKIT_TEST_WORKERS=%d", workers))
			parent.hear(t, "full")
			require.NoError(t, syscall.Kill(parent.pid, syscall.SIGSTOP))
			defer syscall.Kill(parent.pid, syscall.SIGCONT) // or it could not end
			eventually(t, "the parent is stopped", func() bool { return isStopped(t, parent.pid) })

			var err error
			gate, err = os.OpenFile(filepath.Join(dir, "gate"), os.O_RDWR, 0)
			require.NoError(t, err)
			eventually(t, "all tasks have ended", func() bool {
				info, err := os.Stat(filepath.Join(dir, queued))
				return err == nil && info.Size() == 8*int64(stoppedQueue-workers)
			})
			require.True(t, isStopped(t, parent.pid), "the workers have done it alone")

			require.NoError(t, syscall.Kill(parent.pid, syscall.SIGCONT))
			var right int
			parent.hear(t, "right %d", &right)
			require.Equal(t, stoppedQueue-workers, right)
			for id, n := range entries(t, dir, queued) {
				require.Equal(t, 1, n, "task %d", id)
			}
		})
	}
}

// suspend stops a process. When it returns, all of its threads stand: the signal comes back before that.
func suspend(t *testing.T, pid int) {
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	eventually(t, "it stands", func() bool { return isStopped(t, pid) })
}

// isStopped reports whether all threads of a process are stopped by a signal.
func isStopped(t *testing.T, pid int) bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		status, err := os.ReadFile(name)
		require.NoError(t, err)
		if !strings.Contains(string(status), "State:\tT (stopped)") {
			return false
		}
	}
	return true
}
