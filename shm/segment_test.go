package shm_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

const page = 4096

func newSegment(t *testing.T, size int64) *shm.Segment {
	leak.Check(t)
	s, err := shm.New("test "+t.Name(), size)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func TestNewSegment(t *testing.T) {
	for _, size := range []int64{1, page - 1, page, 3*page + 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := newSegment(t, size)
			assert.Equal(t, size, s.Size())
			assert.Equal(t, "test "+t.Name(), s.Name())
			b := s.Bytes()
			require.Len(t, b, int(size))
			assert.Equal(t, make([]byte, size), b, "all zero")
			b[0], b[size-1] = 1, 2
			assert.Equal(t, byte(2), s.Bytes()[size-1])
		})
	}
}

func TestNewRefuses(t *testing.T) {
	leak.Check(t)
	long := strings.Repeat("x", 243)
	for _, tt := range []struct {
		name string
		size int64
		want string
	}{
		{"a", 0, `create segment "a": size is 0, it must be positive`},
		{"a", -7, `create segment "a": size is -7, it must be positive`},
		{long, 1, "name has 243 bytes, at most 242 are possible"},
		{"a\nb", 1, "name has control characters"},
	} {
		_, err := shm.New(tt.name, tt.size)
		assert.ErrorContains(t, err, tt.want)
		assert.ErrorIs(t, err, os.ErrInvalid)
	}
	_, err := shm.New("huge", 1<<62)
	assert.ErrorContains(t, err, fmt.Sprint(int64(1<<62)), "more than can be mapped")
	s, err := shm.New(long[1:], 1)
	require.NoError(t, err, "the longest name")
	assert.NoError(t, s.Close())
}

func TestSegmentIsPrivate(t *testing.T) {
	s := newSegment(t, page)
	info, err := s.File().Stat()
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), info.Mode(), "regular, for its owner, not executable")
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", s.File().Fd()))
	require.NoError(t, err)
	assert.Equal(t, "/memfd:shmkit:"+s.Name()+" (deleted)", link)
	assert.NoError(t, sys.CheckSeals(s.File()))

	_, err = s.ReadOnly()
	require.NoError(t, err)
	flags := mappingFlags(t, "/memfd:shmkit:"+s.Name())
	require.Len(t, flags, 2)
	for _, f := range flags {
		assert.Subset(t, f, []string{"dc", "dd"}, "not in forks, not in dumps")
		assert.NotContains(t, f, "ex")
	}
}

// mappingFlags returns the VmFlags of all mappings of name.
func mappingFlags(t *testing.T, name string) (all [][]string) {
	f, err := os.Open("/proc/self/smaps")
	require.NoError(t, err)
	defer f.Close()
	ours := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		first, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case first == "VmFlags:" && ours:
			all = append(all, strings.Fields(rest))
		case !strings.HasSuffix(first, ":"): // "FROM-TO mode ...": a mapping begins
			ours = strings.Contains(rest, name)
		}
	}
	return all
}

func TestReadOnlyShowsTheSameMemory(t *testing.T) {
	s := newSegment(t, page)
	ro, err := s.ReadOnly()
	require.NoError(t, err)
	again, err := s.ReadOnly()
	require.NoError(t, err)
	assert.Same(t, &ro[0], &again[0], "made once")
	assert.NotSame(t, &s.Bytes()[0], &ro[0])
	s.Bytes()[7] = 42
	assert.Equal(t, byte(42), ro[7])
	assert.True(t, faults(func() { ro[7] = 1 }), "a write through it")
	assert.Equal(t, byte(42), s.Bytes()[7])
}

func TestCloseSegment(t *testing.T) {
	s := newSegment(t, page)
	require.NoError(t, s.Close())
	assert.NoError(t, s.Close(), "a second time")
	assert.PanicsWithValue(t, fmt.Sprintf("shm: Bytes of segment %q after Close", s.Name()), func() { s.Bytes() })
	_, err := s.ReadOnly()
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.ErrorIs(t, s.Reserve(0, 1), os.ErrClosed)
	assert.ErrorIs(t, s.Punch(0, 1), os.ErrClosed)
	assert.Equal(t, int64(page), s.Size())
}

// A slice of a closed segment faults, though other segments of the same size come
// and go: it never shows theirs.
func TestStaleSliceFaults(t *testing.T) {
	old := newSegment(t, page)
	stale := old.Bytes()
	staleRO, err := old.ReadOnly()
	require.NoError(t, err)
	require.NoError(t, old.Close())
	for range 20 {
		s, err := shm.New("next", page)
		require.NoError(t, err)
		s.Bytes()[0] = 1
		assert.True(t, faults(func() { seen = stale[0] }))
		assert.True(t, faults(func() { seen = staleRO[0] }))
		assert.True(t, faults(func() { stale[0] = 9 }))
		require.NoError(t, s.Close())
	}
}

// The addresses of closed segments are given back in the end.
func TestRetiredAddressesAreBounded(t *testing.T) {
	leak.Check(t)
	for range 2 * shm.MaxRetired {
		s, err := shm.New("short-lived", page)
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	assert.Equal(t, shm.MaxRetired, shm.Retired())
	s, err := shm.New("as large as all", shm.MaxRetiredBytes)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	assert.Equal(t, 1, shm.Retired())
}

var seen byte // keeps reads from being optimised away

// faults reports whether f touches an address that it must not.
func faults(f func()) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	f()
	return false
}

// Whatever runs beside Close does its work or says that it is too late; under -race
// nothing else may be said.
func TestCloseBesideCalls(t *testing.T) {
	for range 50 {
		s := newSegment(t, 4*page)
		var calls sync.WaitGroup
		for _, call := range []func() error{
			func() error { return s.Reserve(0, page) },
			func() error { return s.Punch(0, page) },
			func() error { _, err := s.ReadOnly(); return err },
			s.Close,
		} {
			calls.Go(func() {
				if err := call(); !errors.Is(err, os.ErrClosed) {
					assert.NoError(t, err)
				}
			})
		}
		calls.Wait()
	}
}

// reopen opens the memory of s once more, as a watcher would.
func reopen(t *testing.T, s *shm.Segment, flag int) *os.File {
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", s.File().Fd()), flag, 0)
	require.NoError(t, err)
	return f
}

func TestAttach(t *testing.T) {
	s := newSegment(t, page+1)
	a, err := shm.Attach(reopen(t, s, os.O_RDWR))
	require.NoError(t, err)
	assert.Equal(t, s.Name(), a.Name())
	assert.Equal(t, s.Size(), a.Size())
	a.Bytes()[page] = 3
	assert.Equal(t, byte(3), s.Bytes()[page])
	require.NoError(t, a.Close())
	assert.Equal(t, byte(3), s.Bytes()[page], "closing one leaves the other")
}

func TestAttachReadOnly(t *testing.T) {
	s := newSegment(t, page)
	f := reopen(t, s, os.O_RDONLY)
	_, err := shm.Attach(f)
	require.ErrorIs(t, err, os.ErrPermission, "a writable mapping of a file open for reading")
	a, err := shm.AttachReadOnly(f)
	require.NoError(t, err, "a failed Attach left the file alone")
	s.Bytes()[0] = 5
	assert.Equal(t, byte(5), a.Bytes()[0])
	assert.True(t, faults(func() { a.Bytes()[0] = 6 }))
	require.NoError(t, a.Close())
	assert.ErrorIs(t, f.Close(), os.ErrClosed, "the file was the segment's")
}

func TestAttachRefuses(t *testing.T) {
	leak.Check(t)
	open := func(f *os.File, err error) *os.File {
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, f.Close(), "a refused file stays the caller's") })
		return f
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	plain := open(os.Create(filepath.Join(t.TempDir(), "plain")))
	_, err = io.WriteString(plain, "content")
	require.NoError(t, err)
	shmFile := open(os.CreateTemp("/dev/shm", leak.NamePrefix()))
	require.NoError(t, os.Remove(shmFile.Name()))
	for name, tt := range map[string]struct {
		f    *os.File
		want string
	}{
		"nil":         {nil, "attach segment: no file"},
		"pipe":        {open(r, nil), "it is a pipe, not a memory file"},
		"other end":   {open(w, nil), "it is a pipe, not a memory file"},
		"directory":   {open(os.Open(t.TempDir())), "it is a directory, not a memory file"},
		"device":      {open(os.Open(os.DevNull)), "it is a device, not a memory file"},
		"plain file":  {plain, "plain\": not a memory file: it cannot be sealed"},
		"in /dev/shm": {shmFile, "not sealed against SHRINK and GROW"},
		"empty":       {open(sys.Memfd("empty", 0)), `attach segment "empty": its size is 0`},
	} {
		_, err := shm.Attach(tt.f)
		assert.ErrorContains(t, err, tt.want, name)
		_, err = shm.AttachReadOnly(tt.f)
		assert.ErrorContains(t, err, tt.want, name)
	}
	closed, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, err = shm.Attach(closed)
	assert.ErrorIs(t, err, os.ErrClosed)
}
