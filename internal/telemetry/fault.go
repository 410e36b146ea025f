package telemetry

import (
	"strings"
	"structs"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
)

const (
	maxFaults  = 64
	faultText  = 2*layout.Line - 5*8
	faultBytes = 2 * layout.Line
)

// Fault is one kind of error that tasks have had, and how often. Written by the parent, under its lock.
type fault struct {
	_     structs.HostLayout
	count atomic.Uint64 // 0: nothing is here; what does not change is written before that does
	first int64         // nanoseconds since 1970
	last  atomic.Int64
	fn    uint32 // the function's index
	n     uint32 // bytes of text
	_     uint64
	text  [faultText]byte
}

// Faults are the distinct errors of a pool.
type Faults struct {
	_     structs.HostLayout
	other atomic.Uint64 // those for which there is no room
	_     [layout.Line - 8]byte
	list  [maxFaults]fault
}

const faultsBytes = layout.Line + maxFaults*faultBytes

var (
	_ = layout.Sized[fault](faultBytes)
	_ = layout.Sized[Faults](faultsBytes)
)

// Fault is an error that tasks of one function have had.
type Fault struct {
	Func        uint32
	Text        string // or its beginning
	Count       uint64
	First, Last int64 // nanoseconds since 1970
}

// A FaultLog is the parent's own record, which it shows in Faults.
type FaultLog struct {
	shown *Faults
	log   []Fault
	index map[faultKey]int
	other uint64
}

type faultKey struct {
	fn   uint32
	text string
}

// ShowIn has the log written to f, which is empty, from now on.
func (l *FaultLog) ShowIn(f *Faults) {
	l.shown = f
	for i := range l.log {
		l.show(i)
	}
	f.other.Store(l.other)
}

// Add counts an error of a task of the function fn at the time now, in nanoseconds since 1970.
func (l *FaultLog) Add(fn uint32, text string, now int64) {
	key := faultKey{fn, text[:min(len(text), faultText)]}
	i, known := l.index[key]
	if !known {
		if i = len(l.log); i == maxFaults {
			l.other++
			l.shown.other.Store(l.other)
			return
		}
		if l.index == nil {
			l.index = map[faultKey]int{}
		}
		key.text = strings.Clone(key.text)
		l.index[key] = i
		l.log = append(l.log, Fault{Func: fn, Text: key.text, First: now})
	}
	l.log[i].Count++
	l.log[i].Last = now
	l.show(i)
}

func (l *FaultLog) show(i int) {
	f, to := &l.log[i], &l.shown.list[i]
	if to.count.Load() == 0 {
		to.first, to.fn, to.n = f.First, f.Func, uint32(copy(to.text[:], f.Text))
	}
	to.last.Store(f.Last)
	to.count.Store(f.Count) // hands the rest over; pairs with the load in List
}

// List returns what there is, and how many errors had no room.
func (f *Faults) List() (list []Fault, other uint64) {
	for i := range f.list {
		one := &f.list[i]
		count := one.count.Load() // pairs with the store in Add
		if count == 0 {
			break
		}
		list = append(list, Fault{Func: one.fn, Text: string(one.text[:min(one.n, faultText)]), Count: count,
			First: one.first, Last: one.last.Load()})
	}
	return list, f.other.Load()
}
