//go:build linux && (amd64 || arm64)

package pool

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// Any number of workers, also many more than processors, runs each task once and gives each
// caller its own result.
// Sixty-four on two processors are seen in no suite.
func TestManyWorkers(t *testing.T) {
	for _, workers := range []int{1, 2, 4, 8, 16, 64} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			const tasks = 3000
			p := start(t, Options{Workers: workers, Memory: 1 << 20})
			before := p.Stats()
			var fs []*Future[int]
			for i := range tasks {
				f, err := square.Go(t.Context(), p, i)
				require.NoError(t, err)
				fs = append(fs, f)
			}
			for i, f := range fs {
				y, err := f.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, i*i, y)
			}
			require.Equal(t, Stats{Workers: workers, Accepted: tasks, Succeeded: tasks}, p.Stats().Sub(before))
		})
	}
}
