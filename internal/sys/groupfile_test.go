package sys

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGroupFiles(t *testing.T) {
	v2 := machine(map[string]string{
		"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/pids.max": "max\n", "sys/fs/cgroup/pids.max": "7\n",
	})
	assert.Equal(t, []GroupFile{{"sys/fs/cgroup/a/b/pids.max", "max\n"}, {"sys/fs/cgroup/pids.max", "7\n"}}, GroupFiles(v2, "pids", "pids.max"))
	assert.Empty(t, GroupFiles(v2, "pids", "pids.current"))
	v1 := machine(map[string]string{"proc/self/cgroup": "8:pids:/x\n3:cpuset:/y\n", "sys/fs/cgroup/pids/x/pids.max": "9"})
	assert.Equal(t, []GroupFile{{"sys/fs/cgroup/pids/x/pids.max", "9"}}, GroupFiles(v1, "pids", "pids.max"))
	assert.Empty(t, GroupFiles(machine(nil), "pids", "pids.max"))
}
