//go:build linux && (amd64 || arm64)

package pool

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// Whoever looks on sees of each of the last deaths which task the worker ran, and what it did before; also after the pool has got new memory. A worker
// that is to end is none of these.
func TestDeathsAreTold(t *testing.T) {
	p := start(t, Options{Workers: 1})
	deaths := func() []Death { return snapshot(t, observe(t, p)).Deaths }
	same(t, p, echoInt, 1, 2, 3)
	require.Empty(t, deaths())
	_, err := die.Call(t.Context(), p, "exit 7")
	died := (*WorkerDiedError)(nil)
	require.ErrorAs(t, err, &died)
	eventually(t, "it is told", func() bool { return len(deaths()) == 1 })
	d := deaths()[0]
	assert.Equal(t, died.Pid, d.Pid)
	assert.Equal(t, "crashed", d.Reason)
	assert.Equal(t, "worker exited with status 7", d.Text)
	assert.Equal(t, die.Name(), d.Function)
	assert.NotZero(t, d.Task)
	assert.False(t, d.At.Before(d.Began))
	require.NotEmpty(t, d.Last)
	assert.Equal(t, EventBegan, d.Last[0].Kind)
	ran := false
	for i, e := range d.Last {
		assert.Equal(t, d.Incarnation, e.Worker)
		assert.False(t, e.End.After(d.At))
		assert.True(t, i == 0 || !e.End.Before(d.Last[i-1].End))
		ran = ran || e.Kind == EventRan && e.Function == echoInt.Name()
	}
	assert.True(t, ran, "%v", d.Last)

	for range 20 {
		_, err := die.Call(t.Context(), p, "kill")
		require.ErrorIs(t, err, ErrWorkerDied)
	}
	eventually(t, "all are told", func() bool { return p.Stats().Deaths == 21 && len(deaths()) == 16 })
	require.NoError(t, p.Rebuild(t.Context()))
	require.NoError(t, p.Resize(2))
	require.NoError(t, p.Resize(1))
	all := deaths()
	require.Len(t, all, 16, "they come along")
	for i, d := range all {
		assert.Equal(t, "worker was ended by a signal (killed)", d.Text)
		assert.Equal(t, die.Name(), d.Function)
		assert.True(t, i == 0 || d.At.After(all[i-1].At))
	}
}

// Hostile records of a worker that has died take bounded time, and no more than a few events.
func TestHostileLastEvents(t *testing.T) {
	mem := smallMemory(t)
	m, err := view(mem, smallGeometry)
	require.NoError(t, err)
	p := &Pool{mem: m}
	records := mem[m.off.records:][:telemetry.OwnSize(smallGeometry.functions)]
	for seed := range 256 {
		for i := range records[512*2*smallGeometry.functions:] {
			if i >= 64 || seed%2 == 0 {
				records[512*2*smallGeometry.functions+i] = byte(seed)
			}
		}
		own := p.mem.records(0)
		require.LessOrEqual(t, len(own.Last(uint32(seed)*0x01010101)), 9)
	}
}
