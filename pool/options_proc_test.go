//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"math"
	"runtime/debug"
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
