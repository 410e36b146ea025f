//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/ring"
)

// unit is what moves between processors.
const unit = 64

// The writers of shared memory that are no workers.
const (
	parent = -1 - iota
	nobody
	several
)

// A journal counts who changes shared memory, by comparing it with what it was. A store of
// what is there already is not seen.
type journal struct {
	m     *memory
	was   []byte
	last  []int     // who wrote a unit last
	parts []stretch // by offset
	sums  map[string]*sum
}

type sum struct {
	byWorkers, byParent int // words changed
	moves               int // changes by another than the last who changed something in the unit
}

// A stretch of shared memory. If its owner is a worker no other worker may write there.
type stretch struct {
	name  string
	off   int64
	owner int
}

func newJournal(m *memory) *journal {
	j := &journal{m: m, was: bytes.Clone(m.bytes)}
	for range len(m.bytes) / unit {
		j.last = append(j.last, nobody)
	}
	idle := m.off.control + 2*layout.Line
	j.parts = []stretch{{"header", 0, parent}, {"words of the parent", m.off.control, parent}, {"idle", idle, several},
		{"head", m.off.ready, several}, {"cells", m.off.ready + layout.Line, parent}}
	for k := range m.workers {
		j.parts = append(j.parts, stretch{"areas", m.off.workers + int64(k)*workerBytes, k})
	}
	j.parts = append(j.parts, stretch{"slots", m.off.slots, several}, stretch{"values", m.off.near, parent},
		stretch{"telling", m.off.stamps, parent})
	for k := range m.workers {
		j.parts = append(j.parts, stretch{"desks", m.deskAt(k), k})
	}
	j.parts = append(j.parts, stretch{"events", m.deskAt(len(m.workers)), parent})
	for k := range m.workers {
		j.parts = append(j.parts, stretch{"reports", m.off.completions + int64(k)*ring.HintsSize(m.geo.slots), k})
	}
	j.forget()
	return j
}

// deskAt is where worker k tells of itself.
func (m *memory) deskAt(k int) int64 {
	first := int64(layout.Offset(m.bytes, &layout.Bytes(&m.told.Desks[0])[0]))
	return first + int64(k)*int64(len(layout.Bytes(&m.told.Desks[0])))
}

// forget begins to count anew.
func (j *journal) forget() {
	j.sums = map[string]*sum{}
	for _, p := range j.parts {
		j.sums[p.name] = &sum{}
	}
}

func (j *journal) partOf(off int64) stretch {
	i, found := slices.BinarySearchFunc(j.parts, off, func(p stretch, off int64) int { return int(p.off - off) })
	if !found {
		i--
	}
	return j.parts[i]
}

// book writes down what who has changed among n bytes from off.
func (j *journal) book(t *testing.T, who int, off, n int64) {
	off &^= unit - 1
	for end := off + n; off < end; off += unit {
		now, was := j.m.bytes[off:off+unit], j.was[off:off+unit]
		if !bytes.Equal(now, was) {
			j.enter(t, who, off, changed(now, was))
			copy(was, now)
		}
	}
}

func (j *journal) enter(t *testing.T, who int, off int64, words int) {
	p, u := j.partOf(off), off/unit
	require.NotEqual(t, nobody, who, "something in %s was written where nobody looked", p.name)
	s := j.sums[p.name]
	if j.last[u] != who && j.last[u] != nobody {
		s.moves++
	}
	j.last[u] = who
	if who == parent {
		s.byParent += words
		return
	}
	s.byWorkers += words
	if p.owner != several {
		require.Equal(t, p.owner, who, "who writes to %s, which are another's", p.name)
	}
}

func changed(a, b []byte) (words int) {
	for k := 0; k < unit; k += 8 {
		if binary.LittleEndian.Uint64(a[k:]) != binary.LittleEndian.Uint64(b[k:]) {
			words++
		}
	}
	return words
}
