//go:build linux && (amd64 || arm64)

package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// A short timeout does not wait for the look that is due for a long one.
func TestShortTimeoutBesideLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := heapTable(t, 2, 1)
		p := newPool(Options{Workers: 1, MaxWorkers: 1, Queue: 2}, heapEstate(m))
		p.members = append(p.members, &member{incarnation: 1})
		p.entries[0] = entry{live: true, gen: 1, limit: time.Hour}
		p.entries[1] = entry{live: true, gen: 1, limit: 8 * time.Millisecond}
		m.slots[1].word.Store(uint64(makeWord(running, 1, 1)))
		m.workers[0].current.Store(uint64(makeOrder(1, 1, 0)))
		p.mu.Lock()
		p.keepTime(0)
		p.keepTime(1)
		p.mu.Unlock()
		<-time.After(3 * time.Millisecond)
		p.mu.Lock()
		require.Equal(t, makeOrder(1, 1, 0), p.members[0].seen.task, "it was looked at")
		p.timeKept(&p.entries[0])
		p.timeKept(&p.entries[1])
		p.mu.Unlock()
		<-time.After(longestTick)
		p.mu.Lock()
		defer p.mu.Unlock()
		require.False(t, p.ticking)
	})
}

// A context that has ended stays so, and for the same reason, whatever else the worker is told of its task. The next task begins anew.
func TestEndedContextStaysEnded(t *testing.T) {
	m := heapTable(t, 2, 1)
	area := &m.workers[0]
	c := newContexts(m.bytes, area)
	for gen, first := range []uint64{reasonDeadline, reasonCanceled} {
		ctx := c.begin(1, uint64(gen))
		number := layout.Offset(m.bytes, ctx.number)
		area.order(makeOrder(1, uint64(gen), reasonYield))
		require.Zero(t, c.reason(number))
		for _, reason := range []uint64{first, reasonYield, reasonCanceled, reasonDeadline} {
			area.order(makeOrder(1, uint64(gen), reason))
			require.EqualValues(t, first, c.reason(number))
		}
	}
}
