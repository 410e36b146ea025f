package sys

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCheckCPUs(t *testing.T) {
	for _, tt := range []struct {
		online string // "": there is no such file
		cpus   []int
		want   string
	}{
		{"0-3,8,10-11\n", []int{0, 3, 8, 10, 11}, ""},
		{"0-3,8,10-11\n", nil, ""},
		{"0-3,8,10-11\n", []int{3, 4}, "CPU 4 does not exist or is offline: online are 0-3,8,10-11"},
		{"0-3,8,10-11\n", []int{9}, "CPU 9 does not exist"},
		{"0-3,8,10-11\n", []int{12}, "CPU 12 does not exist"},
		{"0\n", []int{0}, ""},
		{"0\n", []int{1}, "CPU 1 does not exist or is offline: online are 0:"},
		{"0-3\n", []int{-1}, "CPU -1: it must be between 0 and 1023"},
		{"0-4095\n", []int{1024}, "CPU 1024: it must be between 0 and 1023"},
		{"", []int{1023}, ""},
		{"", []int{1024}, "CPU 1024: it must be"},
		{"x-y,\n", []int{0}, "CPU 0 does not exist"},
	} {
		files := map[string]string{}
		if tt.online != "" {
			files["sys/devices/system/cpu/online"] = tt.online
		}
		err := checkCPUs(machine(files), tt.cpus)
		if tt.want == "" {
			assert.NoError(t, err, "%+v", tt)
			continue
		}
		assert.ErrorContains(t, err, tt.want, "%+v", tt)
		assert.ErrorIs(t, err, os.ErrInvalid)
	}
}
