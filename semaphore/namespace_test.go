package semaphore_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// A species is a kind of object, over memory of the caller's.
type species struct {
	size   int64
	make   func(mem []byte) error
	attach func(mem []byte) error // and closes it again, if it could
}

// closing closes an object that could be made.
func closing[T interface{ Close() error }](o T, err error) error {
	if err != nil {
		return err
	}
	return o.Close()
}

// owned are the kinds that name processes, in the order of their numbers.
func owned() []species {
	return []species{
		{semaphore.MutexSize, func(mem []byte) error { return closing(semaphore.NewMutexAt(mem)) },
			func(mem []byte) error { return closing(semaphore.AttachMutex(mem)) }},
		{semaphore.RWMutexSize, func(mem []byte) error { return closing(semaphore.NewRWMutexAt(mem)) },
			func(mem []byte) error { return closing(semaphore.AttachRWMutex(mem)) }},
		{semaphore.RobustSize, func(mem []byte) error { return closing(semaphore.NewRobustAt(mem, 3)) },
			func(mem []byte) error { return closing(semaphore.Attach(mem)) }},
		{semaphore.CondSize, func(mem []byte) error { return closing(semaphore.NewCondAt(mem, nil)) },
			func(mem []byte) error { return closing(semaphore.AttachCond(mem, nil)) }},
		{semaphore.BarrierSize, func(mem []byte) error { return closing(semaphore.NewBarrierAt(mem, 2)) },
			func(mem []byte) error { return closing(semaphore.AttachBarrier(mem)) }},
		{semaphore.OnceSize, func(mem []byte) error { return closing(semaphore.NewOnceAt(mem)) },
			func(mem []byte) error { return closing(semaphore.AttachOnce(mem)) }},
		{semaphore.ValueSize[int64](), func(mem []byte) error { return closing(semaphore.NewValueAt(mem, int64(7))) },
			func(mem []byte) error { return closing(semaphore.AttachValue[int64](mem)) }},
		{semaphore.ArraySize[int64](3), func(mem []byte) error { return closing(semaphore.NewArrayAt[int64](mem, 3)) },
			func(mem []byte) error { return closing(semaphore.AttachArray[int64](mem)) }},
	}
}

// ownerless are those that do not, or go by nothing that they say of them.
func ownerless() []species {
	return []species{
		{semaphore.Size, func(mem []byte) error { return closing(semaphore.NewAt(mem, 3)) },
			func(mem []byte) error { return closing(semaphore.Attach(mem)) }},
		{semaphore.EventSize, func(mem []byte) error { return closing(semaphore.NewEventAt(mem)) },
			func(mem []byte) error { return closing(semaphore.AttachEvent(mem)) }},
	}
}

// namespaceWord is where a header says in which PID namespace its processes are.
const namespaceWord = 7

// What was made in another PID namespace is refused, if it names processes, and its memory is left as it is.
func TestOtherNamespaceIsRefused(t *testing.T) {
	here, err := owner.Namespace()
	require.NoError(t, err)
	for _, other := range []uint64{here + 1, 0, 1 << 63} {
		for _, s := range owned() {
			words := make([]uint64, s.size/8)
			mem := layout.SliceBytes(words)
			require.NoError(t, s.make(mem))
			require.Equal(t, here, words[namespaceWord])
			require.NoError(t, s.attach(mem))
			words[namespaceWord] = other
			was := append([]byte(nil), mem...)
			err := s.attach(mem)
			assert.ErrorIs(t, err, semaphore.ErrNamespace)
			assert.ErrorContains(t, err, fmt.Sprintf("PID namespace %d, this one is in %d,", other, here))
			assert.ErrorContains(t, err, "share a PID namespace")
			assert.Equal(t, was, mem)
			words[namespaceWord] = here
			assert.NoError(t, s.attach(mem))
		}
	}
	for _, s := range ownerless() {
		words := make([]uint64, s.size/8)
		mem := layout.SliceBytes(words)
		require.NoError(t, s.make(mem))
		assert.Zero(t, words[namespaceWord])
		words[namespaceWord] = here + 1
		assert.NoError(t, s.attach(mem), "nothing is read there")
	}
}

// Who is given an object with memory of its own is refused as well.
func TestOtherNamespaceIsNotAdopted(t *testing.T) {
	m, err := semaphore.NewMutex()
	require.NoError(t, err)
	words := layout.MustSlice[uint64](m.Memory(), 0, 8)
	here := words[namespaceWord]
	words[namespaceWord]++
	f, data, _, err := m.Share()
	require.NoError(t, err)
	err = new(semaphore.Mutex).Adopt(f, data)
	assert.ErrorIs(t, err, semaphore.ErrNamespace)
	assert.ErrorContains(t, err, "adopt mutex: ")
	assert.ErrorContains(t, err, strconv.FormatUint(here+1, 10))
	words[namespaceWord] = here
	other := new(semaphore.Mutex)
	require.NoError(t, other.Adopt(f, data))
	require.NoError(t, other.Close())
	require.NoError(t, m.Close())
}
