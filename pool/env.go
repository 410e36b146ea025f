package pool

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// workerEnv carries to a worker what it needs before it has mapped the memory.
const workerEnv = "SHMKIT_POOL_WORKER"

// The Go runtime reads these when it starts: to set them later stops all its threads.
const (
	maxProcsKey    = "GOMAXPROCS"
	memoryLimitKey = "GOMEMLIMIT"
)

// A posting is what a worker is told by its environment.
type posting struct {
	index       int
	incarnation uint32
	cpus        int
	procs       int
	limit       int64 // of memory; 0 if the runtime knows by itself
	tasks       int   // after which it makes room for another; 0: none

	// What the variables are for the worker's own functions, and for the programs that they start.
	maxProcs, memoryLimit string
}

// workerEnvironment returns what a worker's environment has more than its parent's.
func (o Options) workerEnvironment(index int, incarnation uint32) []string {
	env := slices.Concat(o.Env, []string{
		fmt.Sprintf("%s=%d %d %d %d %d %d %q %q", workerEnv, index, incarnation, o.cpus, o.GOMAXPROCS, o.GOMEMLIMIT, o.MaxTasksPerWorker,
			o.environment(maxProcsKey), o.environment(memoryLimitKey)),
		maxProcsKey + "=" + strconv.Itoa(o.GOMAXPROCS),
	})
	if o.GOMEMLIMIT > 0 {
		env = append(env, memoryLimitKey+"="+strconv.FormatInt(o.GOMEMLIMIT, 10))
	}
	return env
}

// environment returns the value of key in the workers' environment, where Env
// replaces what this process has, and the last of several counts; "" if there is none.
func (o Options) environment(key string) string {
	for _, v := range slices.Backward(o.Env) {
		if k, value, ok := strings.Cut(v, "="); ok && k == key {
			return value
		}
	}
	return os.Getenv(key)
}

// readPosting takes out of the environment what is meant for this package alone.
func readPosting() (p posting, err error) {
	text := os.Getenv(workerEnv)
	if _, err := fmt.Sscanf(text, "%d %d %d %d %d %d %q %q", &p.index, &p.incarnation, &p.cpus, &p.procs, &p.limit, &p.tasks,
		&p.maxProcs, &p.memoryLimit); err != nil {
		return p, fmt.Errorf("read %s=%q: %w", workerEnv, text, err)
	}
	for key, value := range map[string]string{workerEnv: "", maxProcsKey: p.maxProcs, memoryLimitKey: p.memoryLimit} {
		if value == "" {
			err = os.Unsetenv(key)
		} else {
			err = os.Setenv(key, value)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// enforce is for programs whose initialisers set what the options are to decide.
func (p posting) enforce() {
	if runtime.GOMAXPROCS(0) != p.procs {
		runtime.GOMAXPROCS(p.procs)
	}
	if p.limit > 0 {
		debug.SetMemoryLimit(p.limit) // nothing happens if it is the limit
	}
}
