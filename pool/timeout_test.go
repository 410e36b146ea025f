//go:build linux && (amd64 || arm64)

package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
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
