//go:build linux && (amd64 || arm64)

package pool

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// memoryGroup makes a control group in which so much memory may be used, of either version, or says why there is none.
func memoryGroup(t *testing.T, limit int64) (dir string, err error) {
	name := fmt.Sprintf("shmkit-test-%d", os.Getpid())
	for _, v := range []struct{ root, limit, swap string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max", "memory.swap.max"},
	} {
		dir = filepath.Join(v.root, name)
		if err = os.Mkdir(dir, 0o700); err != nil {
			continue
		}
		if err = os.WriteFile(filepath.Join(dir, v.limit), []byte(strconv.FormatInt(limit, 10)), 0); err == nil {
			_ = os.WriteFile(filepath.Join(dir, v.swap), []byte("0"), 0) // there may be no swap
			t.Cleanup(func() { require.NoError(t, os.Remove(dir)) })
			return dir, nil
		}
		os.Remove(dir)
	}
	return "", err
}

// The kernel kills a worker that has no memory left in its control group. Only its task fails.
func TestOOMKill(t *testing.T) {
	group, err := memoryGroup(t, 100*mib)
	if err != nil {
		t.Skipf("no control group for memory can be made here: %v", err)
	}
	p := start(t, Options{Workers: 2, GOMEMLIMIT: 1 << 40})
	for _, pid := range pids(p) {
		require.NoError(t, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
	}
	stop := workOn(t, p)
	_, err = eats.Call(t.Context(), p, 1000)
	stop()
	var died *WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, "killed", died.Signal)
	require.EqualValues(t, 1, p.Stats().Deaths)
	requireStaff(t, p, 2)
	p.Terminate() // or the group cannot be removed
}
