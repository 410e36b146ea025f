package shm_test

import (
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// backed returns how many bytes of memory a segment has.
func backed(t *testing.T, s *shm.Segment) int64 {
	info, err := s.File().Stat()
	require.NoError(t, err)
	return backedBytes(info)
}

func backedBytes(info fs.FileInfo) int64 {
	const block = 512
	return block * reflect.ValueOf(info.Sys()).Elem().FieldByName("Blocks").Int()
}

// assertBacked asserts how much memory a segment has: at least that much where the
// machine is set to use huge pages unasked, and otherwise exactly.
func assertBacked(t *testing.T, s *shm.Segment, want int64) {
	t.Helper()
	setting, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
	if regexp.MustCompile(`\[(always|within_size|force)\]`).Match(setting) {
		assert.GreaterOrEqual(t, backed(t, s), want)
	} else {
		assert.Equal(t, want, backed(t, s))
	}
}

func TestReserveAndPunch(t *testing.T) {
	s := newSegment(t, 8*page)
	require.Zero(t, backed(t, s), "nothing before the first touch")
	require.NoError(t, s.Reserve(page, 3*page))
	assertBacked(t, s, 3*page)
	s.Bytes()[page], s.Bytes()[2*page], s.Bytes()[3*page-1] = 1, 2, 3
	require.NoError(t, s.Reserve(0, s.Size()))
	assertBacked(t, s, 8*page)
	assert.Equal(t, byte(1), s.Bytes()[page], "reserving changes nothing")

	require.NoError(t, s.Punch(2*page, page))
	assertBacked(t, s, 7*page)
	assert.Zero(t, s.Bytes()[2*page]+s.Bytes()[3*page-1], "punched bytes are zero")
	assert.Equal(t, byte(1), s.Bytes()[page], "others stay")
	require.NoError(t, s.Punch(0, s.Size()))
	assert.Zero(t, backed(t, s))

	require.NoError(t, s.Reserve(5, 0))
	require.NoError(t, s.Punch(8*page, 0))
	assert.Zero(t, backed(t, s), "nothing is nothing")
}

func TestRangesAreChecked(t *testing.T) {
	s := newSegment(t, page)
	const big = int64(^uint64(0) >> 1)
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, page + 1}, {page, 1}, {page + 1, 0}, {big, big}, {1, big}, {-big, 1}} {
		for op, call := range map[string]func(off, n int64) error{"reserve": s.Reserve, "punch": s.Punch} {
			err := call(r[0], r[1])
			assert.ErrorIs(t, err, os.ErrInvalid)
			assert.ErrorContains(t, err, fmt.Sprintf("%s %d bytes at %d of segment %q: not within its 4096 bytes", op, r[1], r[0], s.Name()))
		}
	}
	assert.Zero(t, backed(t, s))
}

func TestReserveMoreThanThereIs(t *testing.T) {
	s := newSegment(t, 8*page)
	t.Cleanup(shm.SetMemoryFree(5*page - 1))
	err := s.Reserve(page, 5*page)
	require.ErrorIs(t, err, shm.ErrNoMemory)
	assert.EqualError(t, err, fmt.Sprintf(
		"reserve 20480 bytes at 4096 of segment %q: only 20479 bytes are free: not enough memory", s.Name()))
	assert.Zero(t, backed(t, s), "nothing was allocated")
	assert.NoError(t, s.Reserve(page, 5*page-1), "all that there is")
}
