//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
)

var limitOf = Func("limit of", func(_ context.Context, resource int) (syscall.Rlimit, error) {
	var l syscall.Rlimit
	err := syscall.Getrlimit(resource, &l)
	return l, err
})

// sizeOf returns a size of the worker's address space, as /proc/self/status names it, in bytes.
var sizeOf = Func("size of", func(_ context.Context, name string) (uint64, error) {
	return statusNumber("/proc/self/status", name)
})

// statusNumber reads a size, in bytes.
func statusNumber(file, name string) (uint64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			var kib uint64
			_, err := fmt.Sscan(text, &kib)
			return kib << 10, err
		}
	}
	return 0, errors.New("no " + name)
}

// usual returns the size that a worker has that is not limited.
func usual(t *testing.T, name string, o Options) uint64 {
	p, err := New(o)
	require.NoError(t, err)
	defer p.Close()
	size, err := sizeOf.Call(t.Context(), p, name)
	require.NoError(t, err)
	return size
}

// schedules returns what the threads of a process have for niceness and CPUs, each kind once.
func schedules(t *testing.T, pid int) map[string]bool {
	kinds := map[string]bool{}
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	require.NoError(t, err)
	for _, dir := range dirs {
		stat, err1 := os.ReadFile(dir + "/stat")
		status, err2 := os.ReadFile(dir + "/status")
		if err1 != nil || err2 != nil {
			continue // the thread has ended
		}
		const nice = 16 // field 19, counted behind the name
		kind := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[nice]
		_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:\t")
		list, _, _ = strings.Cut(list, "\n")
		kinds[kind+" on "+list] = true
	}
	return kinds
}

// ownCPUs lists the CPUs of this process.
func ownCPUs(t *testing.T) (cpus []int) {
	var set unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &set))
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// Every worker has what the options say, one that replaces another included.
func TestWorkersAreConfined(t *testing.T) {
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	require.NoError(t, err)
	nice := min(20-prio+3, 19) // the system call returns 20 less the niceness
	cpus := ownCPUs(t)
	first, last := cpus[0], cpus[len(cpus)-1]
	space := usual(t, "VmSize", Options{Workers: 1, Memory: 1 << 20}) + 1<<30
	limits := map[int]syscall.Rlimit{
		syscall.RLIMIT_CORE: {}, syscall.RLIMIT_NOFILE: {Cur: 64, Max: 128}, syscall.RLIMIT_AS: {Cur: space, Max: space},
	}
	o := Options{Workers: 3, Memory: 1 << 20, Nice: nice, CPUs: [][]int{{first}, {last}}}
	for resource, l := range limits {
		o.Limits = append(o.Limits, process.Limit{Resource: resource, Cur: l.Cur, Max: l.Max})
	}
	p := start(t, o)
	require.Equal(t, 1, p.opts.shared(p.workers()).GOMAXPROCS, "no worker has more")
	look := func() {
		require.Len(t, p.Workers(), 3)
		for _, w := range p.Workers() {
			cpu := []int{first, last, first}[w.Index]
			assert.Equal(t, map[string]bool{fmt.Sprintf("%d on %d", nice, cpu): true}, schedules(t, w.Pid))
		}
		for resource, want := range limits {
			got, err := limitOf.Call(t.Context(), p, resource)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
	}
	look()
	_, err = die.Call(t.Context(), p, "kill")
	require.ErrorIs(t, err, ErrWorkerDied)
	eventually(t, "the dead one is replaced", func() bool {
		n := 0
		for _, w := range p.Workers() {
			if w.Ready {
				n++
			}
		}
		return n == 3
	})
	look()
}

func TestShareOfPinnedWorkers(t *testing.T) {
	for _, tt := range []struct {
		cpus [][]int
		most int
	}{{[][]int{{0}, {0}}, 1}, {[][]int{{0}, {}}, sys.CPUs()}, {nil, sys.CPUs()}} {
		o, err := Options{Workers: 1, CPUs: tt.cpus}.withDefaults()
		require.NoError(t, err)
		assert.Equal(t, tt.most, o.shared(o.Workers).GOMAXPROCS, "%v", tt.cpus)
	}
}

// New says what keeps the workers from starting.
func TestNewNamesTheLimit(t *testing.T) {
	const memory = 8 << 30
	tooSmall := usual(t, "VmSize", Options{Workers: 1, Memory: 1 << 20}) + memory/2
	for name, tt := range map[string]struct {
		o    Options
		is   error
		text string
	}{
		"limit": {Options{Limits: []process.Limit{{Resource: syscall.RLIMIT_NOFILE, Cur: 2, Max: 1}}}, syscall.EINVAL,
			"did not start: set limit 7 to 2 (maximum 1): invalid argument"},
		"niceness":    {Options{Nice: 20}, os.ErrInvalid, "niceness 20: it must be between -20 and 19"},
		"no such CPU": {Options{CPUs: [][]int{nil, {1023}}}, os.ErrInvalid, "CPU 1023 does not exist or is offline"},
		"CPU below 0": {Options{CPUs: [][]int{{-2}}}, os.ErrInvalid, "CPU -2: it must be between"},
		"Memory": {Options{Memory: memory, Limits: []process.Limit{{Resource: syscall.RLIMIT_AS, Cur: tooSmall, Max: tooSmall}}},
			ErrWorkerDied, "cannot allocate memory"},
	} {
		t.Run(name, func(t *testing.T) {
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // they say it there, too
			require.NoError(t, err)
			defer null.Close()
			tt.o.Workers, tt.o.Name, tt.o.Stderr = 2, "confined", null
			p, err := New(tt.o)
			require.Nil(t, p)
			require.ErrorIs(t, err, tt.is)
			require.ErrorContains(t, err, tt.text)
			require.ErrorContains(t, err, `new pool "confined": start worker `)
		})
	}
}

// exhaust uses a resource up.
var exhaust = Func("exhaust", func(_ context.Context, resource int) (int, error) {
	switch resource {
	case syscall.RLIMIT_CPU:
		for {
			spun++
		}
	case syscall.RLIMIT_DATA, syscall.RLIMIT_AS:
		for b := []byte{1}; ; b = append(b, b...) {
		}
	case syscall.RLIMIT_FSIZE:
		f, err := os.CreateTemp("", "")
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if err := os.Remove(f.Name()); err != nil {
			return 0, err
		}
		return f.Write(make([]byte, 1<<20))
	default: // RLIMIT_NOFILE
		var files []*os.File
		defer func() {
			for _, f := range files {
				f.Close()
			}
		}()
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return 0, err
			}
			files = append(files, f)
		}
	}
})

// Whoever exceeds a limit fails or ends, with an error that says why. The pool goes on, and what lies in shared memory
// counts for no limit of files.
func TestLimitsAreExceeded(t *testing.T) {
	o := Options{Workers: 2, Memory: 64 << 20}
	outOfMemory := `exited with status 2 while it ran exhaust: fatal error in runtime\.\S*([aA]lloc|[mM]ap|heap)`
	if detectsRaces { // the detector may be the first that gets none
		outOfMemory += "|exited with status 66 while it ran exhaust"
	}
	data, space := usual(t, "VmData", o)+256<<20, usual(t, "VmSize", o)+256<<20
	for name, tt := range map[string]struct {
		limit  process.Limit
		text   string
		deaths uint64
	}{
		"CPU":    {process.Limit{Resource: syscall.RLIMIT_CPU, Cur: 1, Max: 60}, "CPU time of this child is used up: RLIMIT_CPU is 1 s", 1},
		"DATA":   {process.Limit{Resource: syscall.RLIMIT_DATA, Cur: data, Max: data}, outOfMemory, 1},
		"AS":     {process.Limit{Resource: syscall.RLIMIT_AS, Cur: space, Max: space}, outOfMemory, 1},
		"FSIZE":  {process.Limit{Resource: syscall.RLIMIT_FSIZE, Cur: 4096, Max: 4096}, "file too large", 0},
		"NOFILE": {process.Limit{Resource: syscall.RLIMIT_NOFILE, Cur: 32, Max: 32}, "too many open files", 0},
	} {
		t.Run(name, func(t *testing.T) {
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // tracebacks
			require.NoError(t, err)
			defer null.Close()
			o.Limits, o.Stderr = []process.Limit{tt.limit}, null
			p := start(t, o)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			other, err := block.Go(ctx, p, 1)
			require.NoError(t, err)
			_, err = exhaust.Call(t.Context(), p, tt.limit.Resource)
			require.Equal(t, tt.deaths > 0, errors.Is(err, ErrWorkerDied), "%v", err)
			require.Regexp(t, tt.text, err)
			cancel()
			_, err = other.Wait(t.Context())
			require.ErrorIs(t, err, context.Canceled, "it ran undisturbed")
			same(t, p, echoBytes, make([]byte, 8<<20))
			require.Equal(t, tt.deaths, p.Stats().Deaths)
		})
	}
}
