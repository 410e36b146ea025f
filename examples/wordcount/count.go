package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/shmkit/shmkit/pool"
	"github.com/shmkit/shmkit/shm"
)

// taskSlots suffice for most tasks. A table for all of them would not fit the processor's cache.
const taskSlots = 1 << 17

var (
	count    = pool.Func("count", countTask)
	counters = pool.Local(func() (*counter, error) { return &counter{table: newTable(taskSlots)}, nil })
)

// A counter is the memory that a worker uses for one task after another.
type counter struct {
	table *table
	out   counts
}

// countTask runs in a worker, which has one task at a time: the result may lie in
// memory that the next one uses.
func countTask(_ context.Context, t task) (counts, error) {
	c, err := counters.Get()
	if err != nil {
		return counts{}, err
	}
	if len(c.table.slots) > taskSlots { // the task before had a great many words
		c.table = newTable(taskSlots)
	}
	c.table.clear()
	for _, p := range t.Pieces {
		if err := countPiece(c.table, p); err != nil {
			return counts{}, err
		}
	}
	c.table.pack(&c.out)
	return c.out, nil
}

// countPiece maps the file and counts: its bytes are copied nowhere, and each
// worker that maps it sees the same memory.
func countPiece(t *table, p piece) error {
	f, err := shm.OpenFile(p.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Size() < p.Size {
		return fmt.Errorf("%s had %d bytes when it was found and now has %d: it changes while it is counted",
			p.Path, p.Size, f.Size())
	}
	return countMapped(t, p, f.Bytes()[:p.Size])
}

// countMapped counts p's words in the whole file's data, which is a mapping.
func countMapped(t *table, p piece, data []byte) (err error) {
	// Reading what has been cut off the file, or what the disk does not give, faults. It
	// would end this worker and fail its task, no more; but the worker knows which
	// file it was.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer faultTo(&err, p.Path)
	countWords(t, data, int(p.From), int(p.To))
	return nil
}

// faultTo, deferred, turns a fault into an error. Other panics go on.
func faultTo(err *error, path string) {
	switch v := recover().(type) {
	case nil:
	case interface {
		error
		Addr() uintptr // what only faults have, see debug.SetPanicOnFault
	}:
		*err = fmt.Errorf("%s was cut short, or could not be read any more, while it was counted: %w", path, v)
	default:
		panic(v)
	}
}

// space holds what separates words.
var space = [256]bool{' ': true, '\t': true, '\n': true, '\v': true, '\f': true, '\r': true}

// countWords adds to t the words that start in data[from:to].
func countWords(t *table, data []byte, from, to int) {
	i := from
	if from > 0 && !space[data[from-1]] {
		for i < to && !space[data[i]] { // the rest of the piece before
			i++
		}
	}
	for {
		for i < to && space[data[i]] {
			i++
		}
		if i >= to {
			return
		}
		start := i
		for i < len(data) && !space[data[i]] {
			i++
		}
		t.add(data[start:i], 1)
	}
}
