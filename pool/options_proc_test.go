//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

var memoryLimit = Func("memory limit", func(context.Context, none) (int64, error) { return debug.SetMemoryLimit(-1), nil })

// The workers' runtimes have the limit that the options and the environment say.
func TestMemoryLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		inherited string
		o         Options
		want      int64
	}{
		"default":   {o: Options{Workers: 2}, want: heapShare(sys.MemoryTotal(), 2)},
		"option":    {inherited: "1GiB", o: Options{Workers: 1, GOMEMLIMIT: 300 << 20}, want: 300 << 20},
		"inherited": {inherited: "1GiB", o: Options{Workers: 1}, want: 1 << 30},
		"Env":       {inherited: "1GiB", o: Options{Workers: 1, Env: []string{"GOMEMLIMIT=off"}}, want: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tt.inherited)
			got, err := memoryLimit.Call(t.Context(), start(t, tt.o), none{})
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

// A setting is what a worker's runtime and its environment say.
type setting struct {
	Procs int
	Env   []string
}

var settingOf = Func("setting of", func(context.Context, none) (setting, error) {
	s := setting{Procs: runtime.GOMAXPROCS(0)}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GOM") || strings.HasPrefix(v, "SHMKIT_POOL") {
			s.Env = append(s.Env, v)
		}
	}
	return s, nil
})

// The runtime has what the options say. The variables by which it was told are for the worker's
// functions, and the programs that they start, what they would be without the pool.
func TestWorkersEnvironment(t *testing.T) {
	for name, tt := range map[string]struct {
		o    Options
		want setting
	}{
		"unset":  {Options{Workers: 1, GOMAXPROCS: 3}, setting{3, nil}},
		"quoted": {Options{Workers: 1, GOMAXPROCS: 2, Env: []string{`GOMAXPROCS=a "b"`, "GOMEMLIMIT=1GiB"}}, setting{2, []string{`GOMAXPROCS=a "b"`, "GOMEMLIMIT=1GiB"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMAXPROCS", "")
			t.Setenv("GOMEMLIMIT", "")
			got, err := settingOf.Call(t.Context(), start(t, tt.o), none{})
			require.NoError(t, err)
			require.Equal(t, tt.want.Procs, got.Procs)
			require.ElementsMatch(t, tt.want.Env, got.Env)
		})
	}
}
