package ring

import (
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// What the benchmarks compare the ring with: no checks, no records, no crashes.

// array is the plain array in the memory of the first ring.
func (s *segment) array() (atomics []atomic.Uint64, plain []uint64) {
	return layout.MustSlice[atomic.Uint64](s.rings[0], storageOff, benchItems),
		layout.MustSlice[uint64](s.rings[0], storageOff, benchItems)
}

// putArray publishes each item by itself, in its own word, if batch is 1; else by a
// tail word, batch by batch.
func putArray(s *segment, n, batch uint64) {
	atomics, plain := s.array()
	var head uint64
	for i := range n {
		if i-head == benchItems {
			until(func() bool { head = s.words[headWord].Load(); return i-head < benchItems })
		}
		if batch == 1 {
			sys.ReleaseStore64(&atomics[i%benchItems], i+1)
			continue
		}
		plain[i%benchItems] = i + 1
		if (i+1)%batch == 0 {
			sys.ReleaseStore64(&s.words[tailWord], i+1)
		}
	}
	sys.ReleaseStore64(&s.words[tailWord], n)
	until(func() bool { return s.words[headWord].Load() == n })
}

func takeArray(s *segment, n, batch uint64) {
	atomics, plain := s.array()
	var tail uint64
	for i := range n {
		switch {
		case batch == 1:
			if slot := &atomics[i%benchItems]; slot.Load() != i+1 {
				until(func() bool { return slot.Load() == i+1 })
			}
		case i == tail:
			until(func() bool { tail = s.words[tailWord].Load(); return i < tail })
			fallthrough
		default:
			expect(plain[i%benchItems], i+1)
		}
		if (i+1)%batch == 0 {
			sys.ReleaseStore64(&s.words[headWord], i+1)
		}
	}
	sys.ReleaseStore64(&s.words[headWord], n)
}

func pingWords(s *segment, n, _ uint64) {
	for i := range n {
		sys.ReleaseStore64(&s.words[tailWord], i+1)
		until(func() bool { return s.words[pongWord].Load() == i+1 })
	}
}

func pongWords(s *segment, n, _ uint64) {
	for i := range n {
		until(func() bool { return s.words[tailWord].Load() == i+1 })
		sys.ReleaseStore64(&s.words[pongWord], i+1)
	}
}
