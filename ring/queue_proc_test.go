package ring

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// Producers and consumers are killed at any time, and the books are checked afterwards: every life of a process has a page, on which
// it enters what it does.
const (
	ledgerLives = 128
	ledgerItems = 4096 // at most, of a producer's life
	ledgerBytes = ledgerLives*64 + 4*ledgerLives*ledgerItems
)

// A ledger lies in shared memory.
type ledger struct {
	sure []struct{ n, _, _, _, _, _, _, _ atomic.Uint64 } // by life: how many items were put for certain
	got  []atomic.Uint32                                  // by item: how often it was got
}

func ledgerOn(mem []byte) *ledger {
	l := new(ledger)
	l.sure = layout.MustSlice[struct{ n, _, _, _, _, _, _, _ atomic.Uint64 }](mem, 0, ledgerLives)
	l.got = layout.MustSlice[atomic.Uint32](mem, ledgerLives*64, ledgerLives*ledgerItems)
	return l
}

func (l *ledger) enter(v uint64) { l.got[v].Add(1) }

// book is a segment with a ledger and, behind it, a raw ring.
func openBook(seg *shm.Segment) (l *ledger, ring []byte) {
	return ledgerOn(seg.Bytes()), seg.Bytes()[layout.Align(ledgerBytes, layout.Line):]
}

func newBook(t *testing.T, size int64) *shm.Segment {
	seg, err := shm.New("ledger", int64(layout.Align(ledgerBytes, layout.Line))+size)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, seg.Close()) })
	require.NoError(t, seg.Reserve(0, seg.Size()))
	return seg
}

func init() {
	queueChildren["put raw"] = onBook(func(l *ledger, m *MPMC, life int) {
		page := &l.sure[life].n
		for seq := uint64(0); seq < ledgerItems; {
			r, ok, err := m.Reserve(min(1+rand.IntN(5), int(ledgerItems-seq)))
			must(err)
			if !ok {
				continue
			}
			for i := range r.Len() {
				copy(m.Slot(r, i), item(uint64(life)*ledgerItems+seq+uint64(i)))
			}
			must(m.Commit(r))
			seq += uint64(r.Len())
			page.Store(seq)
		}
		select {}
	})
	queueChildren["take raw"] = onBook(func(l *ledger, m *MPMC, life int) {
		for {
			r, ok, err := m.Take(1 + rand.IntN(5))
			must(err)
			if !ok {
				continue
			}
			for i := range r.Len() {
				l.enter(binary.NativeEndian.Uint64(m.Slot(r, i)))
			}
			must(m.Release(r))
		}
	})
	queueChildren["put"] = onLedger(func(l *ledger, q *Queue[[]byte], life int) {
		for seq := range uint64(ledgerItems) {
			must(q.Put(context.Background(), letter(uint64(life)*ledgerItems+seq)))
			l.sure[life].n.Store(seq + 1)
		}
		select {}
	})
	queueChildren["get"] = onLedger(func(l *ledger, q *Queue[[]byte], life int) {
		for {
			b, err := q.Get(context.Background())
			must(err)
			l.enter(readLetter(b))
			q.TaskDone()
		}
	})
}

func onBook(run func(l *ledger, m *MPMC, life int)) func(*os.File, []byte, int) {
	return func(f *os.File, _ []byte, life int) {
		seg, err := shm.Attach(f)
		must(err)
		l, mem := openBook(seg)
		m, err := AttachMPMC(mem)
		must(err)
		run(l, m, life)
	}
}

func onLedger[T any](run func(l *ledger, q *Queue[T], life int)) func(*os.File, []byte, int) {
	return onQueue(func(q *Queue[T], life int) {
		seg, err := shm.Attach(os.NewFile(4, "ledger"))
		must(err)
		run(ledgerOn(seg.Bytes()), q, life)
	})
}

// letter is an item of which some are large, and readLetter its number. Every byte counts.
func letter(v uint64) []byte {
	b := item(v)
	if v%7 == 0 {
		b = append(b, make([]byte, 100+v%3*2000)...)
	}
	for i := 8; i < len(b); i++ {
		b[i] = byte(v) + byte(i)
	}
	return b
}

func readLetter(b []byte) uint64 {
	v := binary.NativeEndian.Uint64(b)
	if string(letter(v)) != string(b) {
		panic("half an item")
	}
	return v
}

// A troupe is processes of which one after the other is killed and replaced.
type troupe struct {
	start func(name string, life int) *queueProcess
	roles []string
	cast  []*queueProcess
	lives int
	kills map[string]int
}

func newTroupe(start func(name string, life int) *queueProcess, roles ...string) *troupe {
	tr := &troupe{start: start, roles: roles, cast: make([]*queueProcess, len(roles)), kills: map[string]int{}}
	for i := range roles {
		tr.replace(i)
	}
	return tr
}

func (tr *troupe) replace(i int) {
	tr.cast[i] = tr.start(tr.roles[i], tr.lives)
	tr.lives++
}

func (tr *troupe) kill(i int) {
	tr.kills[tr.roles[i]]++
	tr.cast[i].kill()
}

var never atomic.Uint32

// rage kills so many, each a moment after the last.
func (tr *troupe) rage(kills int) {
	for range kills {
		sys.FutexWait(&never, 0, rand.N(8*time.Millisecond)) // they work meanwhile; nothing is waited for
		i := rand.IntN(len(tr.roles))
		tr.kill(i)
		tr.replace(i)
	}
	for i := range tr.roles {
		tr.kill(i)
	}
}

func rageFor() int {
	return history.Rounds(40)
}

// check goes through the books. lost and doubled are how many items may be.
func (l *ledger) check(t *testing.T, batch, lost, doubled int) {
	t.Helper()
	var all, missing, twice int
	for life := range ledgerLives {
		sure := int(l.sure[life].n.Load())
		all += sure
		for seq := range ledgerItems {
			n := int(l.got[life*ledgerItems+seq].Load())
			require.True(t, n == 0 || seq < sure+batch, "an item that nobody has put: %d of life %d", seq, life)
			if n == 0 && seq < sure {
				missing++
			}
			twice += max(0, n-1)
		}
	}
	t.Logf("%d items, %d lost, %d more than once", all, missing, twice)
	require.Positive(t, all)
	require.LessOrEqual(t, missing, lost, "lost")
	require.LessOrEqual(t, twice, doubled, "doubled")
}

var eight = func(put, take string) []string { return []string{put, take, put, take, put, take, put, take} }

// Eight processes at a raw ring. Items that a dead consumer had taken come again, or are dropped.
func TestMPMCProcessesKilled(t *testing.T) {
	for name, policy := range map[string]Policy{"redeliver": Redeliver, "drop": Drop} {
		t.Run(name, func(t *testing.T) {
			o := MPMCOptions{Capacity: 13, ItemSize: 8, Participants: 10, OnDeath: policy}
			size, err := MPMCSize(o)
			require.NoError(t, err)
			seg := newBook(t, size)
			l, mem := openBook(seg)
			require.NoError(t, InitMPMC(mem, o))
			tr := newTroupe(func(name string, life int) *queueProcess { return startQueueChild(t, seg.File(), nil, name, life) }, eight("put raw", "take raw")...)
			tr.rage(rageFor())
			m := attachMPMC(t, mem)
			m.Recover()
			for got := accept(t, m, 3); got != nil; got = accept(t, m, 3) {
				for _, v := range got {
					l.enter(v)
				}
			}
			require.Zero(t, m.Len())
			require.Equal(t, 13, offer(t, m, 0, 64), "no slot is lost")
			most := 5 * tr.kills["take raw"]
			if policy == Redeliver {
				l.check(t, 5, 0, most)
			} else {
				l.check(t, 5, most, 0)
			}
		})
	}
}

// Eight processes at a queue, of items of any size. Every item is got once, but for the one that a consumer had got when it was killed.
func TestQueueProcessesKilled(t *testing.T) {
	seg := newBook(t, layout.Line)
	l, _ := openBook(seg)
	q := newQueue[[]byte](t, QueueOptions{Joinable: true, Capacity: 7, Participants: 10, Memory: 1 << 20})
	f, data, ended, err := q.Share()
	require.NoError(t, err)
	tr := newTroupe(func(name string, life int) *queueProcess {
		return startQueueChild(t, f, data, name, life, seg.File())
	}, eight("put", "get")...)
	tr.rage(rageFor())
	ended()
	for {
		b, ok, err := q.TryGet()
		require.NoError(t, err)
		if !ok {
			break
		}
		l.enter(readLetter(b))
		q.TaskDone()
	}
	require.NoError(t, q.Join(soon(t)))
	l.check(t, 1, tr.kills["get"], 0)
	_, _, err = q.ring.advance()
	require.NoError(t, err)
	q.large.arena.Sweep()
	assert.Zero(t, q.large.arena.Stats().Blocks, "nothing of the dead stays")
	for i := range q.Cap() {
		ok, err := q.TryPut(letter(uint64(i)))
		require.NoError(t, err)
		require.True(t, ok)
	}
}

func init() {
	// They hold what they have, or wait, until they are killed.
	queueChildren["hold a slot"] = onQueue(func(q *Queue[int], _ int) {
		_, _, err := q.ring.Reserve(1)
		must(err)
		select {}
	})
	queueChildren["hold an item"] = onQueue(func(q *Queue[int], _ int) {
		_, _, err := q.ring.Take(1)
		must(err)
		select {}
	})
	queueChildren["get one"] = onQueue(func(q *Queue[int], n int) {
		v, err := q.Get(context.Background())
		must(err)
		expect(uint64(v), uint64(n))
		select {}
	})
	queueChildren["get to the end"] = onQueue(func(q *Queue[int], n int) {
		for i := 0; ; i++ {
			v, err := q.Get(context.Background())
			if err == io.EOF {
				expect(uint64(i), uint64(n))
				return
			}
			must(err)
			expect(uint64(v), uint64(i))
			q.TaskDone()
		}
	})
	queueChildren["wait to put"] = onQueue(func(q *Queue[int], n int) {
		must(q.Put(context.Background(), n))
		select {}
	})
}
