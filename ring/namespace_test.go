package ring

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// refusesOthers asserts that attach, of what lies in mem, fails in a process of another PID namespace than the one that word at says.
func refusesOthers(t *testing.T, mem []byte, at int, attach func() error) {
	here, err := owner.Namespace()
	require.NoError(t, err)
	words := layout.MustSlice[uint64](mem, 0, len(mem)/8)
	require.Equal(t, here, words[at])
	require.NoError(t, attach())
	for _, other := range []uint64{0, here + 1, 1 << 63} {
		words[at] = other
		err := attach()
		assert.ErrorIs(t, err, ErrNamespace)
		assert.ErrorIs(t, err, semaphore.ErrNamespace)
		assert.ErrorContains(t, err, fmt.Sprintf("PID namespace %d, this one is in %d,", other, here))
	}
	words[at] = here
	require.NoError(t, attach())
}

const (
	parameter4 = 7 // words of a header
	behind     = 8
)

func TestMPMCOfAnotherNamespace(t *testing.T) {
	mem := newMPMC(t, MPMCOptions{Capacity: 5, ItemSize: 8}, 8)
	refusesOthers(t, mem, behind, func() error {
		m, err := AttachMPMC(mem)
		if err == nil {
			err = m.Detach()
		}
		return err
	})
}

func TestQueueOfAnotherNamespace(t *testing.T) {
	t.Run("direct", testQueueOfAnotherNamespace[int])
	t.Run("encoded", testQueueOfAnotherNamespace[string])
}

func testQueueOfAnotherNamespace[T any](t *testing.T) {
	q, err := NewQueue[T](QueueOptions{Capacity: 4})
	require.NoError(t, err)
	f, data, _, err := q.Share()
	require.NoError(t, err)
	refusesOthers(t, q.memory(), behind, func() error {
		other := new(Queue[T])
		err := other.Adopt(f, data)
		if err == nil {
			err = other.Close()
		}
		return err
	})
	require.NoError(t, q.Close())
}

func TestPipeOfAnotherNamespace(t *testing.T) {
	a, b, err := NewPipe(PipeOptions{})
	require.NoError(t, err)
	offered := false
	var f *os.File
	var data []byte
	var ended func()
	refusesOthers(t, a.piece.Bytes(), parameter4, func() error {
		if !offered {
			f, data, ended, err = b.Share()
			require.NoError(t, err)
		}
		other := new(PipeEnd)
		err := other.Adopt(f, data)
		if offered = err != nil; !offered { // who is refused leaves the end for another
			ended()
			b = other
		}
		return err
	})
	require.NoError(t, b.Close())
	require.NoError(t, a.Close())
}
