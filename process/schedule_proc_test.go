//go:build linux && (amd64 || arm64)

package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/process"
)

// A thread is what the kernel says of one.
type thread struct {
	Nice string
	CPUs string // as a list
}

// schedules says how many threads of this process there are of each kind. Some are started for the purpose, and
// not used again.
func schedules() map[string]int {
	const some = 8
	var up, looked sync.WaitGroup
	up.Add(some)
	looked.Add(1)
	for range some {
		go func() {
			runtime.LockOSThread()
			up.Done()
			looked.Wait()
		}()
	}
	up.Wait()
	defer looked.Done()
	kinds := map[string]int{}
	for _, dir := range value(filepath.Glob("/proc/self/task/*")) {
		if th, err := threadAt(dir); err == nil { // it has not ended
			kinds[fmt.Sprintf("nice %s, CPUs %s", th.Nice, th.CPUs)]++
		}
	}
	return kinds
}

func threadAt(dir string) (th thread, err error) {
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return th, err
	}
	const nice = 16 // field 19, counted behind the name
	th.Nice = strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[nice]
	status, err := os.ReadFile(dir + "/status")
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:\t"); ok {
			th.CPUs = strings.TrimSpace(list)
		}
	}
	return th, err
}

// tellThreads says in its file what schedules says.
var tellThreads = process.NewEntry("tell threads", func(files []*os.File) {
	if err := json.NewEncoder(files[0]).Encode(schedules()); err != nil {
		panic(err)
	}
})

// inherited starts a child of this child and returns what that says of its threads.
func inherited() any {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer r.Close()
	p := value(tellThreads.Start(process.Options{Files: []*os.File{w}}))
	w.Close()
	var kinds map[string]int
	if err := json.NewDecoder(r).Decode(&kinds); err != nil {
		panic(err)
	}
	if err := p.Wait(context.Background()); err != nil {
		panic(err)
	}
	return kinds
}

// lastCPU is one on which this process may run.
func lastCPU(t testing.TB) int {
	var set unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &set))
	last := -1
	for cpu, left := 0, set.Count(); left > 0; cpu++ {
		if set.IsSet(cpu) {
			last = cpu
			left--
		}
	}
	return last
}

// Niceness and CPUs hold for each thread of the child and of what it starts, beside limits.
func TestChildScheduling(t *testing.T) {
	self, err := threadAt("/proc/thread-self")
	require.NoError(t, err)
	nice := 0
	fmt.Sscan(self.Nice, &nice)
	nicer := min(nice+7, 19)
	cpu := lastCPU(t)
	for name, tt := range map[string]struct {
		o    process.Options
		want thread
	}{
		"neither":  {process.Options{}, self},
		"niceness": {process.Options{Nice: nicer}, thread{fmt.Sprint(nicer), self.CPUs}},
		"CPUs":     {process.Options{CPUs: []int{cpu, cpu}}, thread{self.Nice, fmt.Sprint(cpu)}},
		"all": {process.Options{Nice: nicer, CPUs: []int{cpu}, Limits: []process.Limit{
			{Resource: syscall.RLIMIT_NOFILE, Cur: 64, Max: 128}, {Resource: unix.RLIMIT_NICE}, {Resource: unix.RLIMIT_RTPRIO}}},
			thread{fmt.Sprint(nicer), fmt.Sprint(cpu)}},
	} {
		t.Run(name, func(t *testing.T) {
			c := startChild(t, tt.o)
			defer c.end()
			want := fmt.Sprintf("nice %s, CPUs %s", tt.want.Nice, tt.want.CPUs)
			for _, command := range []string{"threads", "inherited"} {
				var kinds map[string]int
				c.ask(command, &kinds)
				require.Len(t, kinds, 1, "%s: %v", command, kinds)
				assert.Greater(t, kinds[want], 8, "%s: %v", command, kinds)
			}
			var open syscall.Rlimit
			c.ask("open", &open)
			if len(tt.o.Limits) > 0 {
				assert.Equal(t, syscall.Rlimit{Cur: 64, Max: 128}, open)
			}
		})
	}
}

// unprivileged starts children that ask for what only some users may have.
func unprivileged() {
	if err := syscall.Setrlimit(unix.RLIMIT_NICE, &syscall.Rlimit{}); err != nil {
		panic(err)
	}
	for _, nice := range []int{-5, 19} {
		p, err := first.Start(process.Options{Nice: nice})
		if err != nil {
			fmt.Println(err)
			continue
		}
		err = p.Wait(context.Background())
		fmt.Println(errors.Is(err, fs.ErrPermission), err)
	}
}

var first = process.NewEntry("first", func([]*os.File) {})

func TestNicenessThatIsNotPermitted(t *testing.T) {
	cmd := program(t, "unprivileged")
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Regexp(t, `^true process "first" \(pid \d+\): did not start: set niceness to -5: permission denied\nfalse <nil>\n$`, string(out))
}

var burn = process.NewEntry("burn", func([]*os.File) {
	for {
		burnt++
	}
})

var burnt uint64

// The Go runtime would drop the signal, and the kernel kill without a word later.
func TestCPUTimeIsUsedUp(t *testing.T) {
	stderr, w := pipe(t)
	p, err := burn.Start(process.Options{Stderr: w, Limits: []process.Limit{{Resource: syscall.RLIMIT_CPU, Cur: 1, Max: 60}}})
	require.NoError(t, err)
	killAtEnd(t, p)
	require.NoError(t, w.Close())
	var exit *process.ExitError
	require.ErrorAs(t, p.Wait(watchdog(t)), &exit)
	assert.Equal(t, 2, exit.Code)
	text := make([]byte, 1<<10)
	n, err := stderr.Read(text)
	require.NoError(t, err)
	assert.Contains(t, string(text[:n]), "panic: process: the CPU time of this child is used up: RLIMIT_CPU is 1 s")
}
