package pool

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

func TestHeapShare(t *testing.T) {
	for _, tt := range []struct {
		total   int64
		workers int
		want    int64
	}{
		{10 << 30, 1, 8 << 30},
		{10 << 30, 4, 2 << 30},
		{10 << 30, 1024, 64 << 20},
		{0, 1, 64 << 20},
	} {
		assert.Equal(t, tt.want, heapShare(tt.total, tt.workers), "%d bytes, %d workers", tt.total, tt.workers)
	}
	require.Positive(t, heapShare(math.MaxInt64, 1), "an unknown total limits nothing")
}

// What the workers' environment says about the memory limit counts more than the
// default, and less than the option.
func TestMemoryLimitDefault(t *testing.T) {
	share := heapShare(sys.MemoryTotal(), 2)
	for name, tt := range map[string]struct {
		inherited string
		env       []string
		option    int64
		want      int64
	}{
		"nothing":                 {want: share},
		"inherited":               {inherited: "1GiB", want: 0},
		"Env":                     {env: []string{"A=b", "GOMEMLIMIT=1GiB"}, want: 0},
		"Env turns it off":        {env: []string{"GOMEMLIMIT=off"}, want: 0},
		"Env empties inherited":   {inherited: "1GiB", env: []string{"GOMEMLIMIT="}, want: share},
		"the last in Env counts":  {env: []string{"GOMEMLIMIT=", "GOMEMLIMIT=1GiB"}, want: 0},
		"the last in Env empties": {env: []string{"GOMEMLIMIT=1GiB", "GOMEMLIMIT="}, want: share},
		"another key":             {env: []string{"GOMEMLIMITS=1GiB", "XGOMEMLIMIT=1GiB"}, want: share},
		"option":                  {option: 5 << 20, want: 5 << 20},
		"option and environment":  {inherited: "1GiB", option: 5 << 20, want: 5 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tt.inherited)
			o, err := Options{Workers: 2, Env: tt.env, GOMEMLIMIT: tt.option}.withDefaults()
			require.NoError(t, err)
			require.Equal(t, tt.want, o.shared(2).GOMEMLIMIT)
		})
	}
}
