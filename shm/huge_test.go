package shm_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// withHuge runs f with the size of a huge page, or sees to it that a system which has
// none says so.
func withHuge(t *testing.T, f func(t *testing.T, huge int64)) {
	leak.Check(t)
	huge, err := shm.HugePageSize()
	if err != nil {
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		_, err = shm.NewHuge("none", 1<<30)
		assert.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	require.Positive(t, huge)
	require.Zero(t, huge%page)
	f(t, huge)
}

// newHuge makes a segment as on a machine that has free huge pages. That takes
// none, so it works on a machine that has not, as far as making and mapping go.
func newHuge(t *testing.T, size int64) *shm.Segment {
	t.Cleanup(shm.SetHugePagesFree(1 << 20))
	s, err := shm.NewHuge("test "+t.Name(), size)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// What the machine has is what one gets, and otherwise advice.
func TestNewHugeOnThisMachine(t *testing.T) {
	withHuge(t, func(t *testing.T, huge int64) {
		s, err := shm.NewHuge("real", 3*huge)
		if sys.HugePagesFree(huge) > 0 {
			require.NoError(t, err)
			assert.Equal(t, huge, s.PageSize())
			require.NoError(t, s.Close())
			return
		}
		require.ErrorIs(t, err, shm.ErrNoMemory)
		assert.EqualError(t, err, fmt.Sprintf(`create segment "real": the machine has 0 free huge pages of %d bytes, `+
			`3 are needed: raise /sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages: not enough memory`, huge, huge/1024))
	})
}

func TestNewHugeRefuses(t *testing.T) {
	withHuge(t, func(t *testing.T, huge int64) {
		t.Cleanup(shm.SetHugePagesFree(100))
		for _, size := range []int64{1, page, huge - 1, huge + page} {
			_, err := shm.NewHuge("a", size)
			assert.ErrorIs(t, err, os.ErrInvalid)
			assert.ErrorContains(t, err, fmt.Sprintf("size is %d, it must be a multiple of %d", size, huge))
		}
		_, err := shm.NewHuge("a", 0)
		assert.ErrorContains(t, err, "it must be positive")
		_, err = shm.NewHuge("a\n", huge)
		assert.ErrorContains(t, err, "control characters")
	})
}

// A segment is as large as one likes: no page of it is set aside.
func TestHugeSegmentIsSparse(t *testing.T) {
	withHuge(t, func(t *testing.T, huge int64) {
		free := sys.HugePagesFree(huge)
		s := newHuge(t, 1<<20*huge)
		_, err := s.ReadOnly()
		require.NoError(t, err)
		assert.Equal(t, free, sys.HugePagesFree(huge))
		assert.Zero(t, backed(t, s))
		assert.Len(t, s.Bytes(), int(1<<20*huge))

		assert.NoError(t, sys.CheckSeals(s.File()))
		for _, flags := range mappingFlags(t, "/memfd:shmkit:"+s.Name()) {
			assert.Subset(t, flags, []string{"ht", "dc", "dd"}, "huge, not in forks, not in dumps")
			assert.NotContains(t, flags, "ex")
		}
		assert.NoError(t, s.AdviseHuge(), "nothing to do")
	})
}

func TestAttachHuge(t *testing.T) {
	withHuge(t, func(t *testing.T, huge int64) {
		s := newHuge(t, 2*huge)
		for _, attach := range []func(*os.File) (*shm.Segment, error){shm.Attach, shm.AttachReadOnly} {
			a, err := attach(reopen(t, s, os.O_RDWR))
			require.NoError(t, err)
			assert.Equal(t, s.Name(), a.Name())
			assert.Equal(t, 2*huge, a.Size())
			assert.Equal(t, huge, a.PageSize())
			assert.Len(t, a.Bytes(), int(2*huge))
			require.NoError(t, a.Close())
		}
	})
}

func TestHugeReserveMoreThanThereIs(t *testing.T) {
	withHuge(t, func(t *testing.T, huge int64) {
		s := newHuge(t, 8*huge)
		t.Cleanup(shm.SetMemoryFree(0)) // other memory is not asked for
		for _, tt := range []struct{ off, n, pages int64 }{
			{0, 1, 1}, {0, huge, 1}, {huge - 1, 1, 1}, {huge - 1, 2, 2}, {1, huge, 2}, {0, 8 * huge, 8}, {huge / 2, 7 * huge, 8},
		} {
			restore := shm.SetHugePagesFree(tt.pages - 1)
			err := s.Reserve(tt.off, tt.n)
			restore()
			assert.ErrorIs(t, err, shm.ErrNoMemory)
			assert.ErrorContains(t, err, fmt.Sprintf("the machine has %d free huge pages of %d bytes, %d are needed: raise /",
				tt.pages-1, huge, tt.pages))
		}
		assert.Zero(t, backed(t, s), "nothing was allocated")
		restore := shm.SetHugePagesFree(0)
		assert.NoError(t, s.Reserve(huge, 0))
		restore()
	})
}

// With pages, they are taken and given back one by one. Without, the kernel's refusal
// is an error, and so would be a touch.
func TestHugeReserveAndPunch(t *testing.T) {
	withHuge(t, func(t *testing.T, huge int64) {
		free := sys.HugePagesFree(huge)
		s := newHuge(t, 4*huge)
		err := s.Reserve(0, 4*huge)
		if free < 4 {
			assert.ErrorIs(t, err, shm.ErrNoMemory)
			require.NoError(t, s.Punch(0, 4*huge))
			assert.Equal(t, free == 0, faults(func() { s.Bytes()[0] = 1 }))
			return
		}
		require.NoError(t, err)
		assert.Equal(t, 4*huge, backed(t, s))
		for i := range s.Bytes() {
			s.Bytes()[i] = 7
		}
		from, n := huge/2, 2*huge+page
		require.NoError(t, s.Punch(from, n))
		assert.Equal(t, 3*huge, backed(t, s), "one whole page lies within")
		assertBytes(t, s.Bytes()[:from], 7)
		assertBytes(t, s.Bytes()[huge:2*huge], 0)
		assertBytes(t, s.Bytes()[from+n:], 7)
	})
}

func assertBytes(t *testing.T, b []byte, want byte) {
	assert.Equal(t, len(b), bytes.Count(b, []byte{want}), "bytes that are %d", want)
}

func TestPageSize(t *testing.T) {
	s := newSegment(t, 3*page)
	assert.EqualValues(t, os.Getpagesize(), s.PageSize())
}

// What the machine is set to is what AdviseHuge goes by.
func TestAdviseHugeOnThisMachine(t *testing.T) {
	const file = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	setting, _ := os.ReadFile(file)
	s := newSegment(t, page)
	err := s.AdviseHuge()
	if len(setting) > 0 && !strings.Contains(string(setting), "[never]") && !strings.Contains(string(setting), "[deny]") {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorContains(t, err, fmt.Sprintf("advise huge pages for segment %q: ", s.Name()))
	assert.ErrorContains(t, err, strings.TrimPrefix(file, "/"))
	assert.NotContains(t, allFlags(t, s), "hg")
}

// allFlags returns the flags of all mappings of s, "|" between them.
func allFlags(t *testing.T, s *shm.Segment) string {
	var all []string
	for _, flags := range mappingFlags(t, "/memfd:shmkit:"+s.Name()) {
		all = append(all, strings.Join(flags, " "))
	}
	return strings.Join(all, "|")
}

// withAdvice runs f as on a machine that allows huge pages in shared memory, if the
// kernel knows of them at all.
func withAdvice(t *testing.T, f func(t *testing.T)) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		assert.ErrorIs(t, newSegment(t, page).AdviseHuge(), errors.ErrUnsupported)
		return
	}
	t.Cleanup(shm.SetShmemHuge(nil))
	f(t)
}

func TestAdviseHugeReachesAllMappings(t *testing.T) {
	withAdvice(t, func(t *testing.T) {
		for _, first := range []bool{true, false} {
			s := newSegment(t, page+1)
			if first {
				require.NoError(t, s.AdviseHuge())
				require.NoError(t, s.AdviseHuge(), "again")
			}
			_, err := s.ReadOnly()
			require.NoError(t, err)
			if !first {
				require.NoError(t, s.AdviseHuge())
			}
			assert.Equal(t, 2, strings.Count(allFlags(t, s), " hg"), "%v: %s", first, allFlags(t, s))
			require.NoError(t, s.Close())
			assert.ErrorIs(t, s.AdviseHuge(), os.ErrClosed)
		}
	})
}

// Advice belongs to a mapping, so it is through that that memory is reserved.
func TestReserveAfterAdviceGoesThroughTheMapping(t *testing.T) {
	withAdvice(t, func(t *testing.T) {
		s := newSegment(t, 8*page+1)
		require.NoError(t, s.Reserve(0, page))
		assert.Zero(t, resident(t, s), "without advice")
		require.NoError(t, s.AdviseHuge())
		s.Bytes()[page] = 5
		require.NoError(t, s.Reserve(page+7, 3*page))
		assert.GreaterOrEqual(t, resident(t, s), 4*page/1024)
		require.NoError(t, s.Reserve(0, s.Size()))
		assert.GreaterOrEqual(t, backed(t, s), int64(9*page))
		assert.Equal(t, byte(5), s.Bytes()[page], "reserving changes nothing")

		a, err := shm.AttachReadOnly(reopen(t, s, os.O_RDWR))
		require.NoError(t, err)
		require.NoError(t, s.Punch(0, s.Size()))
		require.NoError(t, a.AdviseHuge())
		require.NoError(t, a.Reserve(0, 2*page), "where the mapping cannot be written to")
		assert.GreaterOrEqual(t, backed(t, s), int64(2*page))
		require.NoError(t, a.Close())
	})
}

// resident returns how many KiB of the mappings of s are in this process's page tables.
func resident(t *testing.T, s *shm.Segment) (kb int) {
	text, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	_, ours, _ := strings.Cut(string(text), "/memfd:shmkit:"+s.Name())
	_, ours, found := strings.Cut(ours, "\nRss:")
	require.True(t, found)
	_, err = fmt.Sscan(ours, &kb)
	require.NoError(t, err)
	return kb
}
