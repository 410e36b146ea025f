//go:build linux && amd64

package ring

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/singlestep"
)

const (
	stepHints = 6 // capacity: not all of the storage
	stepHead  = 1<<32 - 7
	stepTail  = stepHead + 4 // what is written there next has a tag of 0 if it is the third
)

// A hinting is an operation on a ring with the numbers 0 to 3.
type hinting struct {
	operate  func(h *Hints)
	produces int  // numbers, from 4 on, one by one
	takes    int  // of the first
	together bool // all of them or none
}

var hintings = map[string]hinting{
	"TryPush": {operate: func(h *Hints) {
		p := h.Producer(stepTail)
		for v := range uint32(2) {
			_, ok := p.TryPush(4 + v)
			stepRoom(nil, ok, nil)
		}
	}, produces: 2},
	"TryPushUnfenced": {operate: func(h *Hints) {
		p := h.Producer(stepTail)
		for v := range uint32(2) {
			stepRoom(nil, p.TryPushUnfenced(4+v), nil)
		}
	}, produces: 2},
	"TryPop": {operate: func(h *Hints) { h.TryPop(); h.TryPop() }, takes: 2},
	"Peek and Take": {operate: func(h *Hints) {
		var dst [3]uint32
		h.Take(h.Peek(dst[:]))
	}, takes: 3, together: true},
	"Next and Drop": {operate: func(h *Hints) {
		c := h.Consumer(stepHead)
		c.Next(make([]uint32, 3))
		c.Drop()
	}, takes: 3, together: true},
}

// A process that is killed at any instruction of a push or a take leaves the others' numbers where they are; it takes
// along at most what it had just taken.
func TestStepHints(t *testing.T) {
	for name, o := range singlestep.Part(hintings) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				f, mem, release := newStepped(t, HintsSize(stepHints))
				defer release()
				h, err := OpenHints(mem, stepHints)
				require.NoError(t, err)
				h.Reset(stepHead)
				p := h.Producer(stepHead)
				for v := range uint32(4) {
					_, ok := p.TryPush(v)
					require.True(t, ok)
				}
				require.NoError(t, w.Run(name, f, nil, mem))

				taken, pushed := int(h.Head()-stepHead), o.produced(h)
				require.True(t, taken == 0 || taken == o.takes || !o.together && taken < o.takes, taken)
				require.True(t, !w.Returned || taken == o.takes && pushed == o.produces)
				if o.produces == 0 {
					require.True(t, p.Sound())
				} else {
					p = h.Producer(stepTail + uint64(pushed)) // whoever comes next knows what is in the ring
				}
				for lap := range 4 {
					drainHints(t, h, taken, 4+pushed)
					taken = 4 + pushed
					for v := pushed; v < stepHints && lap < 3; v++ {
						_, ok := p.TryPush(uint32(4 + pushed))
						require.True(t, ok, "there is room for %d", stepHints)
						pushed++
					}
				}
				_, ok := h.TryPop()
				require.False(t, ok)
			})
		})
	}
}

// produced returns how many numbers a dead producer has added: what a consumer sees.
func (o hinting) produced(h *Hints) int {
	var dst [2 * stepHints]uint32
	pos, n := h.Peek(dst[:])
	return int(pos-stepHead) + n - 4
}

// drainHints takes the numbers in [from, to), and expects no others.
func drainHints(t *testing.T, h *Hints, from, to int) {
	for v := from; v < to; v++ {
		got, ok := h.TryPop()
		require.True(t, ok)
		require.EqualValues(t, v, got)
	}
	require.True(t, h.Empty())
}
