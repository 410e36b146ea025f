package main

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

// on is a machine that has these files.
func on(files map[string]string) machine {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return machine{root}
}

func TestDoctor(t *testing.T) {
	limits := func(lines string) map[string]string { return map[string]string{"proc/self/limits": lines} }
	group := func(name, text string) map[string]string {
		return map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/" + name: text}
	}
	for name, tt := range map[string]struct {
		check func(machine) finding
		files map[string]string
		state state
		found string
	}{
		"new kernel":    {machine.kernel, map[string]string{"proc/sys/kernel/osrelease": "6.1.0-18\n"}, fine, "6.1.0-18"},
		"old kernel":    {machine.kernel, map[string]string{"proc/sys/kernel/osrelease": "5.4.0\n"}, broken, "5.4.0"},
		"no proc":       {machine.kernel, nil, fine, ""},
		"no filter":     {machine.seccomp, map[string]string{"proc/self/status": "Name:\tx\nSeccomp:\t0\n"}, fine, "off"},
		"filter":        {machine.seccomp, map[string]string{"proc/self/status": "Seccomp:\t2\nSeccomp_filters:\t1\n"}, fine, "filter"},
		"strict":        {machine.seccomp, map[string]string{"proc/self/status": "Seccomp:\t1\n"}, broken, "strict"},
		"no yama":       {machine.ptraceScope, nil, fine, "none"},
		"yama":          {machine.ptraceScope, map[string]string{"proc/sys/kernel/yama/ptrace_scope": "1\n"}, fine, "1"},
		"files":         {machine.openFiles, limits("Max open files            1024                 524288               files     \n"), fine, "524288"},
		"few files":     {machine.openFiles, limits("Max open files            256                  256                  files     \n"), warning, "256"},
		"any files":     {machine.openFiles, nil, fine, "unlimited"},
		"few processes": {machine.processes, limits("Max processes 100 100 processes\n"), warning, "100"},
		"locked":        {machine.lockedMemory, limits("Max locked memory         8388608 8388608 bytes\n"), fine, "8 MiB"},
		"no pids":       {machine.groupPids, group("pids.max", "max\n"), fine, "unlimited"},
		"pids":          {machine.groupPids, group("pids.max", "1000\n"), fine, "1000"},
		"few pids": {machine.groupPids, map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/pids.max": "1000\n",
			"sys/fs/cgroup/a/pids.current": "950\n"}, warning, "950 of 1000"},
		"not throttled":   {machine.throttling, group("cpu.stat", "usage_usec 5\nnr_periods 1000\nnr_throttled 0\n"), fine, "none"},
		"throttled":       {machine.throttling, group("cpu.stat", "nr_periods 1000\nnr_throttled 250\n"), warning, "in 25.0% of periods"},
		"nobody killed":   {machine.killings, group("memory.events", "low 0\noom 0\noom_kill 0\n"), fine, "no process was killed"},
		"killed":          {machine.killings, group("memory.events", "low 0\noom 3\noom_kill 2\n"), warning, "2 killed"},
		"busy":            {machine.load, map[string]string{"proc/loadavg": "9999.5 1 1 1/2 3\n"}, warning, ""},
		"idle":            {machine.load, map[string]string{"proc/loadavg": "0.01 1 1 1/2 3\n"}, fine, ""},
		"no pressure":     {machine.pressure, nil, fine, "unknown"},
		"pressure":        {machine.pressure, map[string]string{"proc/pressure/cpu": "some avg10=0.00 avg60=40.00 avg300=0.00 total=0\n"}, warning, "cpu 40%"},
		"no huge pages":   {machine.hugePages, map[string]string{"proc/meminfo": "HugePages_Total:       0\n"}, fine, "none"},
		"huge pages":      {machine.hugePages, map[string]string{"proc/meminfo": "HugePages_Total: 8\nHugePages_Free: 3\n"}, fine, "3 free of 8"},
		"shmem never":     {machine.transparentPages, map[string]string{"sys/kernel/mm/transparent_hugepage/shmem_enabled": "always advise [never]\n"}, fine, "shmem: never"},
		"garbage":         {machine.throttling, group("cpu.stat", "\x00nr_periods\nnr_throttled x\n"), fine, "none"},
		"garbage too":     {machine.openFiles, limits("Max open files\nMax open files x y\n"), fine, "unlimited"},
		"garbage, thrice": {machine.pressure, map[string]string{"proc/pressure/cpu": "avg60=x"}, fine, "unknown"},
	} {
		f := tt.check(on(tt.files))
		assert.Equal(t, tt.state, f.State, name)
		if tt.found != "" {
			assert.Equal(t, tt.found, f.Found, name)
		}
		assert.NotEmpty(t, f.Check, name)
		assert.NotEmpty(t, f.Meaning, name)
		assert.Equal(t, f.State != fine, f.Advice != "" && f.Check != "transparent huge pages", name)
	}
}
