package shm

import "fmt"

// ArenaStats is what an arena holds. Blocks, Slack and Free add up to Size at any moment, because each unit and each
// block is looked at once; what others do meanwhile may or may not be in it.
type ArenaStats struct {
	Size   int64 // bytes that the arena can hold
	Blocks int64 // bytes of blocks that are held
	Slack  int64 // bytes in spans that no block has, or that are being taken or given back
	Free   int64 // bytes in units that nobody has
	Backed int64 // bytes that have memory behind them
	Count  int   // blocks that are held
	Spans  int
}

// Stats counts what there is. It looks at every unit that was ever used.
func (a *Arena) Stats() ArenaStats {
	st := ArenaStats{Size: a.Size()}
	top := int(a.top())
	st.Free = st.Size - int64(top)*unitBytes
	for u := 0; u < top; {
		n := 1
		switch w := blockWord(a.words[u].Load()); w.state() {
		case blockFree:
			st.Free += unitBytes
			if w.backed() {
				st.Backed += unitBytes
			}
		case blockHeld, blockFrozen:
			n = a.length(u)
			st.Count++
			st.Blocks += int64(n) * unitBytes
			st.Backed += int64(n) * unitBytes
		case blockSpan:
			n = min(spanUnits, top-u)
			a.countSpan(u, n, &st)
		default:
			st.Slack += unitBytes
			st.Backed += unitBytes
		}
		u += n
	}
	return st
}

func (a *Arena) countSpan(head, units int, st *ArenaStats) {
	st.Spans++
	st.Backed += int64(units) * unitBytes
	left := int64(units) * unitBytes
	r := &a.records[head/spanUnits]
	if class := r.class.Load(); class < uint32(len(classSizes)) {
		for k := range classBlocks(int(class)) {
			if blockWord(r.words[k].Load()).held() {
				st.Count++
				st.Blocks += classSizes[class]
				left -= classSizes[class]
			}
		}
	}
	st.Slack += left
}

// String shows the numbers.
func (s ArenaStats) String() string {
	return fmt.Sprintf("%d blocks of %d bytes; %d bytes slack in %d spans, %d free of %d; %d have memory",
		s.Count, s.Blocks, s.Slack, s.Spans, s.Free, s.Size, s.Backed)
}

// Check looks for what must not be, while nobody allocates or frees: units that belong to nothing, and spans or blocks in
// impossible states.
func (a *Arena) Check() error {
	top := int(a.top())
	for u := 0; u < top; {
		w := blockWord(a.words[u].Load())
		n := 1
		switch w.state() {
		case blockFree:
		case blockHeld, blockFrozen, blockSpan:
			n = a.length(u)
		default:
			return fmt.Errorf("unit %d is %v and belongs to no block", u, w)
		}
		if w.state() == blockSpan {
			if err := a.checkSpan(u, n); err != nil {
				return err
			}
		}
		u += n
	}
	return nil
}

func (a *Arena) checkSpan(head, n int) error {
	r := &a.records[head/spanUnits]
	if head%spanUnits != 0 || n != spanUnits || r.class.Load() >= uint32(len(classSizes)) {
		return fmt.Errorf("span at unit %d has %d units and class %d", head, n, r.class.Load())
	}
	for k := range r.words {
		w := blockWord(r.words[k].Load())
		if w.state() > blockFrozen || w.state() != blockFree && k >= classBlocks(int(r.class.Load())) {
			return fmt.Errorf("block %d of the span at unit %d is %v", k, head, w)
		}
	}
	return nil
}
