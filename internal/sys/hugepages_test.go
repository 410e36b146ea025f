package sys

import (
	"errors"
	"io/fs"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHugePageSize(t *testing.T) {
	size, err := hugePageSize(machine(map[string]string{"proc/meminfo": "HugePages_Free: 3\nHugepagesize:    2048 kB\nHugetlb: 0 kB\n"}))
	assert.NoError(t, err)
	assert.EqualValues(t, 2<<20, size)
	for _, files := range []map[string]string{nil, {"proc/meminfo": "MemTotal: 1 kB\n"}, {"proc/meminfo": "Hugepagesize: 0 kB\n"}} {
		_, err := hugePageSize(machine(files))
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		assert.ErrorContains(t, err, "/proc/meminfo names no Hugepagesize")
	}
}

func TestHugePagesFree(t *testing.T) {
	const pool = "sys/kernel/mm/hugepages/hugepages-2048kB/"
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"not readable": {nil, math.MaxInt64},
		"none":         {map[string]string{pool + "free_hugepages": "0\n"}, 0},
		"some promised": {map[string]string{pool + "free_hugepages": "16\n", pool + "resv_hugepages": "5\n",
			pool + "nr_overcommit_hugepages": "0\n", pool + "surplus_hugepages": "0\n"}, 11},
		"more can be made": {map[string]string{pool + "free_hugepages": "1\n", pool + "resv_hugepages": "1\n",
			pool + "nr_overcommit_hugepages": "8\n", pool + "surplus_hugepages": "3\n"}, 5},
		"more made than allowed now": {map[string]string{pool + "free_hugepages": "2\n",
			pool + "nr_overcommit_hugepages": "1\n", pool + "surplus_hugepages": "3\n"}, 2},
		"of another size": {map[string]string{pool + "free_hugepages": "4\n",
			"sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages": "9\n"}, 4},
	} {
		assert.Equal(t, tt.want, hugePagesFree(machine(tt.files), 2<<20), name)
	}
	assert.Equal(t, "/"+pool+"nr_hugepages", HugePagesFile(2<<20))
}

func TestCheckShmemHuge(t *testing.T) {
	const file = "sys/kernel/mm/transparent_hugepage/shmem_enabled"
	for setting, want := range map[string]string{
		"[always] within_size advise never deny force\n": "",
		"always [within_size] advise never deny force\n": "",
		"always within_size [advise] never deny force\n": "",
		"always within_size advise never deny [force]\n": "",
		"of a future kernel\n":                           "",
		"always within_size advise [never] deny force\n": `/` + file + ` says "never": write "advise" to it`,
		"always within_size advise never [deny] force\n": `/` + file + ` says "deny": write "advise" to it`,
	} {
		err := checkShmemHuge(machine(map[string]string{file: setting}))
		if want == "" {
			assert.NoError(t, err, setting)
			continue
		}
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		assert.ErrorContains(t, err, want)
	}
	err := checkShmemHuge(machine(nil))
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, file)
}
