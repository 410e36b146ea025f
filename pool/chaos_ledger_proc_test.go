//go:build linux && (amd64 || arm64)

package pool

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/leak"
)

// A note says what an entry of the ledger says.
type note uint64

const (
	noteBorn  note = iota // a worker has started
	noteBegun             // it has begun a chore
	noteEnded             // it has come to its end, with whatever result
	noteLast              // it is about to end itself, because of a chore
	noteLeft              // it ends in order
	noteHit               // the test is about to send it a signal
)

// A ledger is a file to which workers and test append what they do, or are about to do: outside of the library, so that it cannot
// make its own books right. An entry is one write, which the kernel does whole or not at all, and what was written stays written
// whatever becomes of the writer. Entries stand in the order in which they were made, by whomever.
type ledger struct{ file *os.File }

// entryBytes are those of an entry: what, by or to whom, and a chore's id or a signal's number.
const entryBytes = 3 * 8

func openLedger(dir string) (*ledger, error) {
	f, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_APPEND|os.O_RDWR|os.O_CREATE, 0o600)
	return &ledger{f}, err
}

func (l *ledger) enter(what note, pid, about uint64) error {
	b := make([]byte, 0, entryBytes)
	for _, word := range []uint64{uint64(what), pid, about} {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	_, err := l.file.Write(b)
	return err
}

// Ticks are chores that are shorter than a system call, so that workers take many at once. Each has a counter in a file that all have
// mapped: how often it was begun, and, sixteen bits higher, how often it has ended. A store outlives whoever has made it, too.
const (
	firstTick = 1 << 62 // the id of the first
	mostTicks = 1 << 20 // of a round
	tickEnded = 1 << 16
)

func mapTicks(dir string) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(dir, "ticks"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(4 * mostTicks); err != nil {
		return nil, err
	}
	return syscall.Mmap(int(f.Fd()), 0, 4*mostTicks, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func sliceTicks(mem []byte) []uint32 { return layout.MustSlice[uint32](mem, 0, mostTicks) }

// A stamp is an entry that a worker has made about a chore.
type stamp struct {
	pid uint64
	at  int // the entry's number
}

// A record is what the ledger has of a chore.
type record struct{ begun, ended []stamp }

// A life is what it has of a worker. A round is so short that no two have the same pid.
type life struct {
	born, left bool
	hits       map[syscall.Signal]bool
	last       uint64 // the chore for which it has ended itself, if it has
	ended      bool   // it has
	chores     int    // begun
	latest     uint64 // the last of these
	at         int    // the number of its last entry
}

// hit reports whether any of these signals were sent to it.
func (l *life) hit(signals ...syscall.Signal) bool {
	for _, s := range signals {
		if l.hits[s] {
			return true
		}
	}
	return false
}

// The books are the ledger, sorted.
type books struct {
	chores  map[uint64]*record
	workers map[uint64]*life
}

func (b *books) chore(id uint64) *record {
	if b.chores[id] == nil {
		b.chores[id] = &record{}
	}
	return b.chores[id]
}

func (b *books) worker(pid uint64) *life {
	if b.workers[pid] == nil {
		b.workers[pid] = &life{hits: map[syscall.Signal]bool{}}
	}
	return b.workers[pid]
}

// read sorts the ledger's entries.
func (l *ledger) read(t *testing.T) *books {
	data, err := os.ReadFile(l.file.Name())
	require.NoError(t, err)
	require.Zero(t, len(data)%entryBytes)
	b := &books{map[uint64]*record{}, map[uint64]*life{}}
	for at := 0; at < len(data); at += entryBytes {
		word := func(i int) uint64 { return binary.LittleEndian.Uint64(data[at+8*i:]) }
		b.note(at/entryBytes, note(word(0)), word(1), word(2))
	}
	return b
}

func (b *books) note(at int, what note, pid, about uint64) {
	w := b.worker(pid)
	if what == noteHit {
		w.hits[syscall.Signal(about)] = true
		return
	}
	w.at = at
	switch what {
	case noteBorn:
		w.born = true
	case noteLeft:
		w.left = true
	case noteLast:
		w.ended, w.last = true, about
	case noteBegun:
		w.chores, w.latest = w.chores+1, about
		c := b.chore(about)
		c.begun = append(c.begun, stamp{pid, at})
	case noteEnded:
		c := b.chore(about)
		c.ended = append(c.ended, stamp{pid, at})
	}
}

// Effects are what this process had at some moment.
type effects struct {
	testing.TB
	cleanups []func()
	found    []string
	routines goleak.Option
}

func takeStock(t testing.TB) *effects {
	b := &effects{TB: t, routines: goleak.IgnoreCurrent()}
	leak.Check(b)
	return b
}

func (b *effects) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }

func (b *effects) Errorf(format string, args ...any) {
	b.found = append(b.found, fmt.Sprintf(format, args...))
}

// left lists what it has beside them now.
func (b *effects) left() []string {
	for _, f := range b.cleanups {
		f()
	}
	if err := goleak.Find(b.routines, goleak.IgnoreAnyFunction("github.com/shmkit/shmkit/process.spawnLoop")); err != nil {
		b.found = append(b.found, err.Error())
	}
	return b.found
}
