//go:build linux && (amd64 || arm64)

package pool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A worker that always finds work looks after those that wait behind a long task, once in a while.
func TestBusyWorkerHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := heapTable(t, 16, 2)
		stuck, busy := m.newWorker(0), m.newWorker(1)
		stuck.batch.limit = 2
		m.offer(t, m.ready.Producer(0), 1, upTo(16)...)
		require.True(t, stuck.take()) // and runs the first for long: the second waits
		run := func() uint32 {
			require.True(t, busy.next())
			return busy.out.index
		}
		busy.batch.helped = time.Now()
		require.EqualValues(t, 2, run())
		<-time.After(helpEvery)
		require.EqualValues(t, 3, run(), "it is not time yet")
		<-time.After(batchTime)
		require.EqualValues(t, 4, run(), "the last look at the clock was before")
		require.EqualValues(t, 1, run())
		<-time.After(2 * helpEvery)
		require.EqualValues(t, 5, run())
		require.EqualValues(t, 6, run(), "nobody waits any more")
		require.EqualValues(t, 7, run())
	})
}

// So does one to which tasks come one by one, and which therefore reads no clock.
func TestWorkerWithSinglesHelps(t *testing.T) {
	m := heapTable(t, 16, 2)
	stuck, busy := m.newWorker(0), m.newWorker(1)
	stuck.batch.limit = 2
	ready := m.ready.Producer(0)
	m.offer(t, ready, 1, 0, 1)
	require.True(t, stuck.take())
	for gen := range uint64(2 * helpTakes) {
		m.offer(t, ready, gen+2, 2)
		require.True(t, busy.next())
		if busy.out.index == 1 {
			require.EqualValues(t, helpTakes-1, gen)
			return
		}
	}
	require.Fail(t, "the second task still waits behind the first")
}
