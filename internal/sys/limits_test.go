package sys

import (
	"math"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

func machine(files map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, data := range files {
		fs[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return fs
}

func TestMemoryFree(t *testing.T) {
	const info = "MemTotal: 2000 kB\nMemAvailable:  1000 kB\n"
	for name, tt := range map[string]struct {
		files       map[string]string
		free, total int64
	}{
		"nothing readable": {nil, math.MaxInt64, math.MaxInt64},
		"machine only":     {map[string]string{"proc/meminfo": info}, 1000 << 10, 2000 << 10},
		"v2, own group": {map[string]string{
			"proc/meminfo": info, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "5000\n", "sys/fs/cgroup/a/b/memory.current": "4000\n",
			"sys/fs/cgroup/a/b/memory.stat": "anon 1\ninactive_file 100\n",
		}, 1100, 5000},
		"v2, the parent is tighter": {map[string]string{
			"proc/meminfo": info, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "4000\n",
			"sys/fs/cgroup/a/memory.max": "4500\n", "sys/fs/cgroup/a/memory.current": "4600\n",
		}, 0, 4500},
		"v1, container path missing": {map[string]string{
			"proc/meminfo": info, "proc/self/cgroup": "9:cpu,memory:/docker/x\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "700", "sys/fs/cgroup/memory/memory.usage_in_bytes": "200",
		}, 500, 700},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.free, memoryFree(machine(tt.files), math.MaxInt64))
			for _, enough := range []int64{0, 1, tt.free, tt.free - 1, tt.free/2 + 1} {
				free := memoryFree(machine(tt.files), enough)
				assert.True(t, free == tt.free || enough <= free && free < tt.free, "%d of %d for %d", free, tt.free, enough)
			}
			if tt.free < math.MaxInt64 {
				assert.Equal(t, tt.free, memoryFree(machine(tt.files), tt.free+1), "not enough")
			}
			assert.Equal(t, tt.total, memoryTotal(machine(tt.files)))
		})
	}
}

func TestCPUQuota(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  int
	}{
		"no group": {nil, 8},
		"v2 none":  {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8},
		"v2 1.5":   {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2},
		"v2 tiny":  {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1},
		"v1 3": {map[string]string{"proc/self/cgroup": "2:cpu,cpuacct:/x\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "300000\n", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 3},
		"v1 none": {map[string]string{"proc/self/cgroup": "2:cpu:/\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 8},
		"garbage": {map[string]string{"proc/self/cgroup": "?\n::\n0::/\n", "sys/fs/cgroup/cpu.max": "\n"}, 8},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.want, cpuQuota(machine(tt.files), 8)) })
	}
}
