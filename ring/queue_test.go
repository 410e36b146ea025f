package ring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

const queuePatience = 30 * time.Second

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), queuePatience)
	t.Cleanup(cancel)
	return ctx
}

// adopted is another handle of the queue, in this process.
func adopted[T any](t testing.TB, q *Queue[T]) *Queue[T] {
	t.Helper()
	f, data, _, err := q.Share()
	require.NoError(t, err)
	other := new(Queue[T])
	require.NoError(t, other.Adopt(f, data))
	t.Cleanup(func() { assert.NoError(t, other.Close()) })
	return other
}

// whether a goroutine waits on the handle.
func waits(q interface{ waiting() bool }) func() bool { return q.waiting }

func (q *queueCore) waiting() bool {
	return !q.getters.Idle() || !q.putters.Idle() || !q.packers.Idle() || !q.joiners.Idle()
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	wait := new(spin)
	for !done() {
		wait.once()
	}
	_ = what
}

type (
	pair struct {
		A uint32
		B bool
	}
	text struct {
		Name string
		Tags []string
		At   map[string]int
	}
)

// roundTrip puts each value on one handle and gets it from another.
func roundTrip[T any](t *testing.T, o QueueOptions, vs ...T) {
	t.Helper()
	q := newQueue[T](t, o)
	p := adopted(t, q)
	for _, v := range vs {
		require.NoError(t, q.Put(soon(t), v))
		got, err := p.Get(soon(t))
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
	var got []T
	done := make(chan error)
	go func() { n, err := q.PutAll(soon(t), vs); done <- errors.Join(err, expectN(n, len(vs))) }()
	for dst := make([]T, 3); len(got) < len(vs); {
		n, err := p.GetBatch(soon(t), dst)
		require.NoError(t, err)
		got = append(got, dst[:n]...)
	}
	require.NoError(t, <-done)
	require.Equal(t, vs, got)
}

func expectN(n, want int) error {
	if n != want {
		return fmt.Errorf("%d of %d", n, want)
	}
	return nil
}

func TestQueueOfAnyType(t *testing.T) {
	for _, capacity := range []int{1, 3, 100} {
		o := QueueOptions{Capacity: capacity, Memory: 1 << 20}
		roundTrip(t, o, 1, 2, 3, math.MaxInt, -1)
		roundTrip(t, o, struct{}{}, struct{}{})
		roundTrip(t, o, pair{1, true}, pair{2, false}, pair{3, true}, pair{4, true})
		roundTrip(t, o, [3]byte{1}, [3]byte{2}, [3]byte{3})
		roundTrip(t, o, [maxDirect]byte{1}, [maxDirect]byte{2})
		roundTrip(t, o, [maxDirect + 1]byte{1}, [maxDirect + 1]byte{2}, [maxDirect + 1]byte{3})
		roundTrip(t, o, "", "a", strings.Repeat("b", maxInline-9), strings.Repeat("c", maxInline), strings.Repeat("d", 300_000), "e")
		roundTrip(t, o, []byte(nil), []byte{}, []byte("x"), make([]byte, 70_000))
		roundTrip(t, o, text{}, text{"n", []string{"a", ""}, map[string]int{"k": 1}}, text{Name: strings.Repeat("n", 5000)})
	}
}

func TestQueueRefuses(t *testing.T) {
	_, err := NewQueue[struct{ C chan int }](QueueOptions{})
	assert.ErrorContains(t, err, "make queue: ")
	assert.ErrorContains(t, err, "C")
	_, err = NewQueue[struct{ M sync.Mutex }](QueueOptions{})
	assert.ErrorContains(t, err, "M")
	for want, o := range map[string]QueueOptions{
		"capacity -1 is not between 1 and 2097152": {Capacity: -1},
		"capacity 2097153":                         {Capacity: maxQueue + 1},
		"memory of -1":                             {Memory: -1},
		"-2 participants":                          {Participants: -2},
		"1025 participants":                        {Participants: 1025},
		"policy 9":                                 {OnDeath: 9},
	} {
		_, err := NewQueue[string](o)
		assert.ErrorContains(t, err, want)
	}
	q := newQueue[string](t, QueueOptions{Memory: 1 << 16})
	_, err = q.TryPut(strings.Repeat("x", 1<<17))
	assert.ErrorIs(t, err, shm.ErrTooLarge)
	assert.ErrorIs(t, q.Put(soon(t), strings.Repeat("x", 1<<17)), shm.ErrTooLarge)
	_, err = q.PutAll(soon(t), []string{strings.Repeat("x", 1<<17)})
	assert.ErrorIs(t, err, shm.ErrTooLarge)
}

func TestQueueDefaults(t *testing.T) {
	q := newQueue[int](t, QueueOptions{})
	assert.Equal(t, 1024, q.Cap())
	assert.Zero(t, q.Len())
	for range q.Cap() {
		require.NoError(t, q.Put(soon(t), 7))
	}
	assert.Equal(t, 1024, q.Len())
	ok, err := q.TryPut(8)
	assert.False(t, ok)
	assert.NoError(t, err)
	assert.Equal(t, DefaultParticipants, len(q.ring.table))
}

func TestQueueAdoptRefuses(t *testing.T) {
	q := newQueue[int](t, QueueOptions{Participants: 2})
	f, data, ended, err := q.Share()
	require.NoError(t, err)
	ended()
	other := new(Queue[int])
	assert.ErrorIs(t, other.Adopt(nil, data), os.ErrInvalid)
	assert.ErrorIs(t, other.Adopt(f, data[:15]), os.ErrInvalid)
	assert.ErrorIs(t, other.Adopt(f, data[:20]), os.ErrInvalid)
	assert.ErrorIs(t, new(Queue[uint]).Adopt(f, data), ErrItemType)
	assert.ErrorIs(t, new(Queue[string]).Adopt(f, data), ErrItemType)
	forged := append([]byte(nil), data...)
	forged[0]--
	assert.ErrorIs(t, other.Adopt(f, forged), layout.ErrSize)
	forged[7] = 0xff
	assert.ErrorIs(t, other.Adopt(f, forged), layout.ErrParams)
	s := q.ring.mpmcShape
	s.print++
	require.NoError(t, layout.Init(q.piece.Bytes(), layout.KindQueue, s.params()...))
	assert.ErrorIs(t, other.Adopt(f, data), ErrItemType, "whatever the message says")
	s.print--
	s.arena = 1 << 20
	require.NoError(t, layout.Init(q.piece.Bytes(), layout.KindQueue, s.params()...))
	assert.ErrorIs(t, other.Adopt(f, data), layout.ErrParams)
	require.NoError(t, layout.Init(q.piece.Bytes(), layout.KindMPMC, s.params()...))
	assert.ErrorIs(t, other.Adopt(f, data), layout.ErrKind)
	s.arena = 0
	require.NoError(t, layout.Init(q.piece.Bytes(), layout.KindQueue, s.params()...))
	require.NoError(t, other.Adopt(f, data))
	assert.ErrorIs(t, other.Adopt(f, data), os.ErrInvalid)
	assert.ErrorIs(t, new(Queue[int]).Adopt(f, data), ErrNoPlace)
	require.NoError(t, other.Close())
	require.NoError(t, other.Close())
	_, _, _, err = other.Share()
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.NoError(t, new(Queue[int]).Close())
}

// Many goroutines on several handles.
func TestQueueConcurrent(t *testing.T) {
	for _, capacity := range []int{1, 2, 64} {
		q := newQueue[string](t, QueueOptions{Joinable: true, Capacity: capacity, Memory: 1 << 20})
		handles := []*Queue[string]{q, adopted(t, q)}
		const each, items = 3, 300
		var puts, gets sync.WaitGroup
		got := make(chan string, len(handles)*each*items)
		for h, q := range handles {
			for g := range each {
				puts.Go(func() {
					for i := range items {
						v := fmt.Sprintf("%d.%d.%d", h, g, i)
						if i%10 == 0 {
							v += strings.Repeat("x", 200*g)
						}
						assert.NoError(t, q.Put(soon(t), v))
					}
				})
				gets.Go(func() {
					for {
						v, err := q.Get(soon(t))
						if err == io.EOF {
							return
						}
						if !assert.NoError(t, err) {
							return
						}
						got <- strings.TrimRight(v, "x")
						q.TaskDone()
					}
				})
			}
		}
		puts.Wait()
		require.NoError(t, q.Join(soon(t)))
		require.Len(t, got, cap(got), "all were done when Join returned")
		require.NoError(t, q.CloseSend())
		gets.Wait()
		close(got)
		seen := map[string]bool{}
		for v := range got {
			require.False(t, seen[v], v)
			seen[v] = true
		}
		require.Len(t, seen, cap(got))
		require.Zero(t, q.large.arena.Stats().Blocks)
	}
}
