package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// Tests use rings of 8-byte items.
func newMPMC(t testing.TB, o MPMCOptions, pos uint64) []byte {
	t.Helper()
	o.ItemSize = 8
	s, err := o.shape(layout.KindMPMC)
	require.NoError(t, err)
	mem := aligned(s.total)
	for i := range mem {
		mem[i] = 0xa5 // it may have been used before
	}
	require.NoError(t, s.format(mem, pos))
	return mem
}

func attachMPMC(t testing.TB, mem []byte) *MPMC {
	t.Helper()
	m, err := AttachMPMC(mem)
	require.NoError(t, err)
	return m
}

func item(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }

// offer puts up to n numbers from first on, and returns how many.
func offer(t require.TestingT, m *MPMC, first uint64, n int) int {
	r, ok, err := m.Reserve(n)
	require.NoError(t, err)
	if !ok {
		return 0
	}
	for i := range r.Len() {
		copy(m.Slot(r, i), item(first+uint64(i)))
	}
	require.NoError(t, m.Commit(r))
	return r.Len()
}

// accept takes up to n numbers.
func accept(t require.TestingT, m *MPMC, n int) (got []uint64) {
	r, ok, err := m.Take(n)
	require.NoError(t, err)
	if !ok {
		return nil
	}
	got = numbers(m, r)
	require.NoError(t, m.Release(r))
	return got
}

func numbers(m *MPMC, r Run) (got []uint64) {
	for i := range r.Len() {
		got = append(got, binary.NativeEndian.Uint64(m.Slot(r, i)))
	}
	return got
}

// starts are positions just before something wraps.
func beginnings(slots int) []uint64 {
	lap := uint64(slots)
	return []uint64{lap, -(3 * lap), -(2 * lap) + lap<<46, lap<<43 - lap, 1}
}

func TestMPMCSizes(t *testing.T) {
	assert.EqualValues(t, reflect.TypeFor[mpmcControl]().Size(), 5*layout.Line)
	namespace, ok := reflect.TypeFor[mpmcControl]().FieldByName("namespace")
	require.True(t, ok)
	assert.EqualValues(t, 64, namespace.Offset)
	size, err := MPMCSize(MPMCOptions{Capacity: 3, ItemSize: 9})
	require.NoError(t, err)
	assert.EqualValues(t, (5+64)*layout.Line+layout.Line+4*16, size)
	for name, o := range map[string]MPMCOptions{
		"capacity 0":               {ItemSize: 8},
		"capacity -1":              {Capacity: -1, ItemSize: 8},
		"capacity 16777217":        {Capacity: 1<<24 + 1, ItemSize: 8},
		"items of 0 bytes":         {Capacity: 1},
		"items of -1 bytes":        {Capacity: 1, ItemSize: -1},
		"items of 1073741825":      {Capacity: 1, ItemSize: 1<<30 + 1},
		"-1 participants":          {Capacity: 1, ItemSize: 1, Participants: -1},
		"1025 participants":        {Capacity: 1, ItemSize: 1, Participants: 1025},
		"policy 2 is neither":      {Capacity: 1, ItemSize: 1, OnDeath: 2},
		"policy 4294967295 is nei": {Capacity: 1, ItemSize: 1, OnDeath: math.MaxUint32},
	} {
		_, err := MPMCSize(o)
		assert.ErrorContains(t, err, name)
		assert.ErrorContains(t, InitMPMC(nil, o), name)
	}
}

func TestMPMCBadMemory(t *testing.T) {
	o := MPMCOptions{Capacity: 5, ItemSize: 8}
	mem := newMPMC(t, o, 8)
	attach := func(mem []byte) error { _, err := AttachMPMC(mem); return err }
	assert.ErrorContains(t, InitMPMC(mem[8:], MPMCOptions{Capacity: 5, ItemSize: 8}), "memory of")
	assert.ErrorIs(t, attach(mem[:len(mem)-8]), layout.ErrSize)
	assert.ErrorIs(t, attach(make([]byte, len(mem))), layout.ErrNotShmkit)
	mem[8]++
	assert.ErrorIs(t, attach(mem), layout.ErrVersion)
	mem[8]--
	require.NoError(t, layout.Init(mem, layout.KindSPSC, 5))
	assert.ErrorIs(t, attach(mem), layout.ErrKind)
	for _, params := range [][]uint64{
		{0, 8, 64}, {1 << 25, 8, 64}, {9, 8, 64}, {5, 0, 64}, {5, 1 << 31, 64}, {5, 16, 64}, {5, 8, 0}, {5, 8, 65}, {5, 8, 1 << 20},
		{5, 8, 64 | 2<<32}, {5, 8, 64, 0, 1 << 60},
	} {
		require.NoError(t, layout.Init(mem, layout.KindMPMC, params...))
		assert.ErrorIs(t, attach(mem), layout.ErrParams, "%v", params)
	}
}

func TestMPMCInOrder(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 5, 64, 100} {
		s, err := shapeMPMC(layout.KindMPMC, capacity, 8, 4, Redeliver)
		require.NoError(t, err)
		slots := s.slots
		for _, pos := range beginnings(slots) {
			for _, batch := range []int{1, 2, 3, 64} {
				m := attachMPMC(t, newMPMC(t, MPMCOptions{Capacity: capacity}, pos))
				var put, got uint64
				for range 5 * slots {
					for n := offer(t, m, put, batch); n > 0; n = offer(t, m, put, batch) {
						put += uint64(n)
					}
					require.EqualValues(t, capacity, put-got, "all of it can be used")
					require.Equal(t, capacity, m.Len())
					for _, v := range accept(t, m, 1+int(got)%(batch+1)) {
						require.Equal(t, got, v)
						got++
					}
				}
				m.Close()
				for r, ok, err := m.Take(2); err != io.EOF; r, ok, err = m.Take(2) {
					require.NoError(t, err)
					require.True(t, ok)
					require.Equal(t, got, numbers(m, r)[0])
					got += uint64(r.Len())
					require.NoError(t, m.Release(r))
				}
				require.Equal(t, put, got)
				_, err := m.TryPut(item(0))
				require.ErrorIs(t, err, ErrClosed)
				require.NoError(t, m.Detach())
			}
		}
	}
}

// Several participants, of several goroutines each, on heap memory, where the race detector sees all.
func TestMPMCConcurrent(t *testing.T) {
	for _, o := range []MPMCOptions{{Capacity: 1}, {Capacity: 2}, {Capacity: 3}, {Capacity: 100}} {
		for _, batch := range []int{1, 7} {
			for _, pos := range beginnings(128)[:2] {
				t.Run(fmt.Sprintf("%d/%d/%#x", o.Capacity, batch, pos), func(t *testing.T) {
					concurrently(t, newMPMC(t, o, pos), batch)
				})
			}
		}
	}
}

func concurrently(t *testing.T, mem []byte, batch int) {
	const handles, each, items = 2, 2, 3000
	var producers, consumers sync.WaitGroup
	got := make(chan []uint64, handles*each)
	for h := range handles {
		m := attachMPMC(t, mem)
		for g := range each {
			producers.Go(func() {
				first := uint64(h*each+g) << 32
				for n := 0; n < items; {
					k := offer(t, m, first+uint64(n), min(batch, items-n))
					if n += k; k == 0 {
						runtime.Gosched()
					}
				}
			})
			consumers.Go(func() {
				var mine []uint64
				for {
					r, ok, err := m.Take(1 + (batch+g)/2)
					if errors.Is(err, io.EOF) {
						break
					}
					if !assert.NoError(t, err) {
						break
					}
					if !ok {
						runtime.Gosched()
						continue
					}
					mine = append(mine, numbers(m, r)...)
					assert.NoError(t, m.Release(r))
				}
				got <- mine
			})
		}
	}
	producers.Wait()
	attachMPMC(t, mem).Close()
	consumers.Wait()
	seen := map[uint64]int{}
	for range handles * each {
		last := map[uint64]uint64{}
		for _, v := range <-got {
			seen[v]++
			require.Less(t, last[v>>32], v+1, "in the order of each producer")
			last[v>>32] = v + 1
		}
	}
	require.Len(t, seen, handles*each*items)
	for v, n := range seen {
		require.Equal(t, 1, n, "%#x", v)
	}
}

// Who was away for laps finds its way.
func TestMPMCLate(t *testing.T) {
	mem := newMPMC(t, MPMCOptions{Capacity: 3}, ^uint64(0)-7)
	late, m := attachMPMC(t, mem), attachMPMC(t, mem)
	for _, n := range []uint64{1, 3, 4, 5, 1000} {
		for v := range n {
			require.Equal(t, 1, offer(t, m, v, 1))
			require.Equal(t, []uint64{v}, accept(t, m, 1))
		}
		require.Empty(t, accept(t, late, 1))
		require.Equal(t, 2, offer(t, late, n, 2))
		require.Equal(t, []uint64{n, n + 1}, accept(t, late, 3))
	}
}

func TestMPMCMisuse(t *testing.T) {
	m := attachMPMC(t, newMPMC(t, MPMCOptions{Capacity: 3}, 4))
	assert.Panics(t, func() { _, _, _ = m.Reserve(0) })
	assert.Panics(t, func() { _, _, _ = m.Take(-1) })
	assert.Panics(t, func() { _, _ = m.TryPut(make([]byte, 7)) })
	assert.Panics(t, func() { _, _ = m.TryTake(make([]byte, 9)) })
	r, _, _ := m.Reserve(1)
	assert.Panics(t, func() { m.Slot(r, 1) })
	assert.ErrorIs(t, m.Release(r), ErrCorrupted)
	assert.NoError(t, m.Commit(r))
	assert.ErrorIs(t, m.Commit(r), ErrCorrupted)
}
