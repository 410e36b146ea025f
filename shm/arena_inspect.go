package shm

import (
	"errors"
	"fmt"
	"io"

	"github.com/shmkit/shmkit/internal/layout"
)

// A SizeClass is the blocks of one size in an arena, which lie in spans.
type SizeClass struct {
	Size  int64 // bytes of each
	Held  int   // blocks that somebody holds
	Room  int   // blocks that the spans could hold
	Spans int
}

// ErrNoArena is why [Inspect] fails if there is no arena of that size.
var ErrNoArena = errors.New("no arena")

// Inspect counts what is in an arena of size bytes that begins at off in r, a copy of its memory or the file of it, without being one of
// those who use it. It reads what [Arena.Stats] looks at, and returns the classes that have spans. Nothing that r says makes it read or
// allocate more than the size that r's arena has; only what r has must be readable. What is as it must not be, unless somebody just
// changes it, is in odd, the first few of it.
func Inspect(r io.ReaderAt, off, size int64) (st ArenaStats, classes []SizeClass, odd []string, err error) {
	in := inspection{r: r, off: off, classes: make([]SizeClass, len(classSizes))}
	if err := in.open(size); err != nil {
		return st, nil, nil, fmt.Errorf("inspect arena: %w", err)
	}
	if err := in.run(); err != nil {
		return st, nil, nil, fmt.Errorf("inspect arena: %w", err)
	}
	for i, c := range in.classes {
		if c.Spans > 0 {
			c.Size = classSizes[i]
			classes = append(classes, c)
		}
	}
	return in.st, classes, in.odd, nil
}

// ArenaBooks returns how much of an arena's memory, which [ArenaSize] gives, lies before its blocks.
func ArenaBooks(n, page int64) int64 { return shapeOf(unitsFor(n), max(page, arenaPage)).data }

type inspection struct {
	r     io.ReaderAt
	off   int64
	shape arenaShape
	top   int

	st      ArenaStats
	classes []SizeClass
	odd     []string

	head  int // of the run or span that the units belong to
	state blockState
	rest  int // units of the span that are still to come
}

// read returns n words at off in the arena, as they are at this moment.
func (in *inspection) read(off int64, n int) ([]uint64, error) {
	words := make([]uint64, n)
	_, err := in.r.ReadAt(layout.SliceBytes(words), in.off+off)
	return words, err
}

func (in *inspection) open(size int64) error {
	front, err := in.read(0, 2*layout.Line/8)
	if err != nil {
		return err
	}
	params, err := layout.CheckFront(layout.SliceBytes(front), size, layout.KindArena)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoArena, err)
	}
	units, page := params[0], params[1]
	if units == 0 || units > maxUnits || page < arenaPage || page > maxArenaPage || page&(page-1) != 0 ||
		shapeOf(int(units), int64(page)).total != size {
		return fmt.Errorf("%w: %d units in pages of %d do not fit memory of %d bytes: %w", ErrNoArena, units, page, size, layout.ErrParams)
	}
	in.shape = shapeOf(int(units), int64(page))
	in.top = int(min(front[layout.Line/8], units))
	if front[layout.Line/8] > units {
		in.complain("%d units are in use, of %d", front[layout.Line/8], units)
	}
	return nil
}

// run looks at each unit once.
func (in *inspection) run() error {
	in.st.Size = int64(in.shape.units) * unitBytes
	in.st.Free = in.st.Size - int64(in.top)*unitBytes
	for u := 0; u < in.top; u += growUnits {
		words, err := in.read(in.shape.words+int64(u)*8, min(growUnits, in.top-u))
		if err != nil {
			return err
		}
		for k, w := range words {
			if err := in.unit(u+k, blockWord(w)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (in *inspection) unit(u int, w blockWord) error {
	if in.rest > 0 { // which counted with the span's first
		in.rest--
		if !w.isRestOf(in.head) {
			in.complain("unit %d is %v, in the span at %d", u, w, in.head)
		}
		return nil
	}
	state := w.state()
	if state == blockRest && w.isRestOf(in.head) && in.state != blockFree {
		in.st.Blocks += unitBytes
		in.st.Backed += unitBytes
		return nil
	}
	in.state = blockFree
	switch state {
	case blockFree:
		in.st.Free += unitBytes
		if w.backed() {
			in.st.Backed += unitBytes
		}
		return nil
	case blockHeld, blockFrozen:
		in.head, in.state = u, state
		in.st.Count++
		in.st.Blocks += unitBytes
	case blockSpan:
		if u%spanUnits != 0 {
			in.complain("a span begins at unit %d", u)
			in.st.Slack += unitBytes
			break
		}
		return in.span(u)
	default:
		in.complain("unit %d is %v and belongs to no block", u, w)
		in.st.Slack += unitBytes
	}
	in.st.Backed += unitBytes
	return nil
}

func (in *inspection) span(head int) error {
	in.head, in.rest = head, min(spanUnits, in.top-head)-1
	left := int64(in.rest+1) * unitBytes
	in.st.Spans++
	in.st.Backed += left
	words, err := in.read(in.shape.records+int64(head/spanUnits)*recordBytes, recordBytes/8)
	if err != nil {
		return err
	}
	r := layout.MustAt[spanRecord](layout.SliceBytes(words), 0)
	class := r.class.Load()
	if class >= uint32(len(classSizes)) {
		in.complain("the span at unit %d has class %d", head, class)
		in.st.Slack += left
		return nil
	}
	c := &in.classes[class]
	c.Spans++
	c.Room += classBlocks(int(class))
	for k := range classBlocks(int(class)) {
		switch w := blockWord(r.words[k].Load()); {
		case w.held():
			c.Held++
			in.st.Count++
			in.st.Blocks += classSizes[class]
			left -= classSizes[class]
		case w.state() > blockFrozen:
			in.complain("block %d of the span at unit %d is %v", k, head, w)
		}
	}
	in.st.Slack += left
	return nil
}

// mostOdd bounds what is said of an arena that nothing is right with.
const mostOdd = 8

func (in *inspection) complain(format string, args ...any) {
	if len(in.odd) < mostOdd {
		in.odd = append(in.odd, fmt.Sprintf(format, args...))
	}
}
