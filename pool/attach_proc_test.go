//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mappingsOf counts where the memory of pools is mapped in this process.
func mappingsOf(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	return strings.Count(string(text), "memfd:shmkit:")
}

func descriptors(t *testing.T) int {
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

// A thousand observers come and go while a pool works: it loses no task and no worker, and nothing is left of them.
func TestAThousandObservers(t *testing.T) {
	p := start(t, Options{Workers: 2})
	same(t, p, echoInt, 1, 2, 3)
	path := fmt.Sprintf("/proc/self/fd/%d", p.home.seg.File().Fd())
	mapped, open := mappingsOf(t), descriptors(t)
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	calls := [2]int{}
	for i := range calls {
		callers.Go(func() {
			for ; ctx.Err() == nil; calls[i]++ {
				y, err := echoInt.Call(t.Context(), p, calls[i])
				if !assert.NoError(t, err) || !assert.Equal(t, calls[i], y) {
					return
				}
			}
		})
	}
	accepted := uint64(0)
	for i := range 1000 {
		f, err := os.Open(path)
		require.NoError(t, err)
		o, err := Observe(f)
		require.NoError(t, err)
		s, err := o.Snapshot()
		require.NoError(t, err)
		require.Equal(t, PoolOpen, s.State)
		require.GreaterOrEqual(t, s.Counters.Accepted, accepted)
		accepted = s.Counters.Accepted
		if i%10 == 0 {
			broken, err := o.Check()
			require.NoError(t, err)
			require.Empty(t, broken)
			_, err = o.Slots()
			require.NoError(t, err)
			events, err := o.ParentEvents()
			require.NoError(t, err)
			_, _, err = events.Next()
			require.NoError(t, err)
		}
		require.NoError(t, o.Close())
	}
	stop()
	callers.Wait()
	st := p.Stats()
	require.Zero(t, st.Deaths+st.Rebuilds+st.Failed, "%+v", st)
	require.EqualValues(t, calls[0]+calls[1]+3, st.Accepted)
	requireBalanced(t, p)
	assert.Equal(t, mapped, mappingsOf(t))
	assert.Equal(t, open, descriptors(t))
}

// All events that are written are read or counted as missed, however late somebody reads.
func TestMissedEventsAreCounted(t *testing.T) {
	p := start(t, Options{Workers: 1})
	o := observe(t, p)
	_, err := lasts.Call(t.Context(), p, 2*int(tellEach/time.Microsecond))
	require.NoError(t, err)
	player := must(o.WorkerEvents(0))
	_, _, err = player.Next()
	require.NoError(t, err)
	before := snapshot(t, o).Workers[0]
	const tasks = 1500 // more than are kept
	for range tasks {
		_, err := lasts.Call(t.Context(), p, 2*int(tellEach/time.Microsecond))
		require.NoError(t, err)
	}
	events, missed, err := player.Next()
	require.NoError(t, err)
	after := snapshot(t, o).Workers[0]
	require.Positive(t, missed)
	for _, e := range events {
		require.Zero(t, e.Untold, "such long ones are all told")
	}
	// A sleep is told when it ends.
	require.InDelta(t, tasks+int(after.Sleeps-before.Sleeps), len(events)+int(missed), 1)
}
