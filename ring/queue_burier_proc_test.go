package ring

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
)

func init() {
	queueChildren["stand by"] = func(*os.File, []byte, int) { select {} }
}

// A process that has no place yet begins to bury a dead one, to have its place, and is killed in the middle of that. Nobody knew of it, and
// yet somebody who waits for what the first one had is told.
func TestQueueBurierWithoutPlaceIsKilled(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Capacity: 2})
	require.NoError(t, q.Put(soon(t), 7))
	dead := startOn(t, q, "hold an item", 0)
	burier := startQueueChild(t, nil, nil, "stand by", 0)
	id, err := owner.Of(burier.Process.Pid)
	require.NoError(t, err)
	eventually(t, "it holds the item", func() bool { return held(q, slotReading) })
	result := make(chan int, 1)
	go func() {
		v, err := q.Get(soon(t))
		assert.NoError(t, err)
		result <- v
	}()
	eventually(t, "Get waits, and knows of the one who has the item", func() bool {
		return q.waiting() && q.watch.roster.Load() == q.ring.ctl.roster.Load()+1
	})
	q.ring.table[1].owner.Store(burying | uint64(id))
	dead.kill()
	sys.FutexWait(&never, 0, 50*time.Millisecond) // whoever is told of that looks now, and finds it in good hands
	burier.kill()
	require.Equal(t, 7, <-result)
}
