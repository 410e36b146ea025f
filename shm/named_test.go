package shm_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// newName returns a name that nothing has. The test fails if it leaves something of that name behind.
func newName(t *testing.T) string {
	leak.Check(t)
	name := leak.NamePrefix() + rand.Text()
	t.Cleanup(func() {
		if t.Failed() { // it has stopped half-way
			os.Remove(inShm(name))
		}
	})
	return name
}

func inShm(name string) string { return filepath.Join(shm.NamedDir, name) }

// createNamed makes a segment with a new name, and removes what has the name then when the test ends.
func createNamed(t *testing.T, size int64) *shm.Segment {
	s, err := shm.Create(newName(t), size)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		os.Remove(inShm(s.Name()))
	})
	return s
}

func opened(t *testing.T, open func(string) (*shm.Segment, error), name string) *shm.Segment {
	s, err := open(name)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// listed returns what List says of a segment.
func listed(t *testing.T, name string) (info shm.Info, found bool) {
	all, err := shm.List()
	require.NoError(t, err)
	assert.True(t, slices.IsSortedFunc(all, func(a, b shm.Info) int { return strings.Compare(a.Name, b.Name) }))
	i := slices.IndexFunc(all, func(i shm.Info) bool { return i.Name == name })
	if i < 0 {
		return info, false
	}
	return all[i], true
}

func TestCreate(t *testing.T) {
	for _, size := range []int64{1, page - 1, page, 3*page + 5} {
		s := createNamed(t, size)
		assert.Equal(t, size, s.Size())
		assert.EqualValues(t, page, s.PageSize())
		assertBacked(t, s, (size+page-1)/page*page) // before it is touched
		require.Len(t, s.Bytes(), int(size))
		assert.Equal(t, make([]byte, size), s.Bytes(), "all zero")

		info, err := os.Lstat(inShm(s.Name()))
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o600), info.Mode(), "regular, for its owner, not executable")
		assert.Equal(t, size, info.Size())
		assert.NotZero(t, descriptorFlags(s.File())&cloexec)

		other := opened(t, shm.Open, s.Name())
		assert.Equal(t, s.Name(), other.Name())
		assert.Equal(t, size, other.Size())
		assert.NotZero(t, descriptorFlags(other.File())&cloexec)
		other.Bytes()[size-1] = 7
		assert.Equal(t, byte(7), s.Bytes()[size-1])
	}
}

// What a segment holds stays when nobody has it, until it is removed.
func TestNamedSegmentStays(t *testing.T) {
	s := createNamed(t, page)
	s.Bytes()[0] = 7
	require.NoError(t, s.Close())
	again := opened(t, shm.Open, s.Name())
	assert.Equal(t, byte(7), again.Bytes()[0])
	require.NoError(t, shm.Remove(s.Name()))
	_, err := shm.Open(s.Name())
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, shm.Remove(s.Name()), fs.ErrNotExist)
	assert.ErrorIs(t, shm.RemoveOrphan(s.Name()), fs.ErrNotExist)
}

// Who has a segment keeps it when it is removed, and the name is free.
func TestRemoveWhileOpen(t *testing.T) {
	s := createNamed(t, page)
	other := opened(t, shm.Open, s.Name())
	require.NoError(t, shm.Remove(s.Name()))
	_, found := listed(t, s.Name())
	assert.False(t, found)
	s.Bytes()[0] = 7
	assert.Equal(t, byte(7), other.Bytes()[0])

	next, err := shm.Create(s.Name(), 2*page)
	require.NoError(t, err)
	assert.Zero(t, next.Bytes()[0], "it is another one")
	next.Bytes()[1] = 8
	assert.Zero(t, s.Bytes()[1])
	require.NoError(t, next.Close())
}

func TestOpenReadOnly(t *testing.T) {
	s := createNamed(t, page)
	ro := opened(t, shm.OpenReadOnly, s.Name())
	s.Bytes()[0] = 5
	assert.Equal(t, byte(5), ro.Bytes()[0])
	assert.True(t, faults(func() { ro.Bytes()[0] = 6 }))
	assert.Error(t, ro.Reserve(0, page))
	_, err := ro.File().WriteAt([]byte("x"), 0)
	assert.Error(t, err)
	assert.Equal(t, byte(5), s.Bytes()[0])
}

var badNames = map[string]string{
	"":                       "the name is empty",
	"/":                      "name has a slash",
	"/frames":                `begins with a slash, which C's shm_open alone wants: use "frames"`,
	"//frames":               "name has a slash",
	"a/b":                    "name has a slash",
	"../x":                   "name has a slash",
	".":                      "it is the name of a folder",
	"..":                     "it is the name of a folder",
	"a\x00b":                 "control characters",
	"a\nb":                   "control characters",
	"\x7f":                   "control characters",
	strings.Repeat("x", 256): "name has 256 bytes, at most 255 are possible",
}

func TestBadNamesAreRefused(t *testing.T) {
	leak.Check(t)
	for name, want := range badNames {
		for call, err := range callAll(name) {
			assert.ErrorIs(t, err, os.ErrInvalid, "%s %q", call, name)
			assert.ErrorContains(t, err, want, "%s %q", call, name)
		}
	}
	long := leak.NamePrefix() + strings.Repeat("é", 200)
	for _, name := range []string{long[:255], leak.NamePrefix() + "-.:~ \xff"} {
		s, err := shm.Create(name, 1)
		require.NoError(t, err)
		assert.NoError(t, s.Close())
		assert.NoError(t, shm.Remove(name))
	}
}

// callAll calls everything that takes a name.
func callAll(name string) map[string]error {
	errs := callOpen(name)
	_, errs["create"] = shm.Create(name, page)
	errs["remove"] = shm.Remove(name)
	return errs
}

// callOpen calls everything that takes the name of a segment that can be opened.
func callOpen(name string) map[string]error {
	_, err := shm.Open(name)
	_, errRO := shm.OpenReadOnly(name)
	return map[string]error{"open": err, "open read-only": errRO, "remove orphan": shm.RemoveOrphan(name)}
}

// A name that passes is that of one file in the folder, and of no other.
func FuzzName(f *testing.F) {
	for name := range badNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := shm.CheckName(name); err != nil {
			assert.ErrorIs(t, err, os.ErrInvalid)
			assert.NotContains(t, err.Error(), "\n", "it is one line")
			return
		}
		path := inShm(name) // cleaned
		assert.Equal(t, shm.NamedDir+"/"+name, path)
		assert.Equal(t, shm.NamedDir, filepath.Dir(path))
		assert.LessOrEqual(t, len(name), 255)
		assert.NotContains(t, name, "\x00")
	})
}

func TestCreateRefusesSizes(t *testing.T) {
	name := newName(t)
	for _, size := range []int64{0, -1, math.MinInt64} {
		_, err := shm.Create(name, size)
		assert.ErrorIs(t, err, os.ErrInvalid)
		assert.ErrorContains(t, err, "it must be positive")
	}
	for _, size := range []int64{1 << 50, 1 << 62, math.MaxInt64} {
		_, err := shm.Create(name, size)
		assert.ErrorIs(t, err, shm.ErrNoMemory)
		assert.ErrorContains(t, err, name)
	}
}

func TestCreateMoreThanThereIs(t *testing.T) {
	for says, free := range map[string]struct{ memory, room int64 }{
		"only 8191 bytes are free: not enough memory":                    {2*page - 1, math.MaxInt64},
		"/dev/shm has room for only 8191 bytes of it: not enough memory": {math.MaxInt64, 2*page - 1},
	} {
		t.Run(says, func(t *testing.T) {
			name := newName(t)
			t.Cleanup(shm.SetMemoryFree(free.memory))
			t.Cleanup(shm.SetFileRoom(free.room))
			_, err := shm.Create(name, 2*page)
			assert.ErrorIs(t, err, shm.ErrNoMemory)
			assert.EqualError(t, err, `create segment "`+name+`": `+says)
			_, err = shm.Open(name)
			assert.ErrorIs(t, err, fs.ErrNotExist)
			s, err := shm.Create(name, 2*page-1) // all that there is
			require.NoError(t, err)
			assert.NoError(t, errors.Join(s.Reserve(0, 2*page-1), s.Close(), shm.Remove(name)))
		})
	}
}

// Another program's segment may have no memory yet, and can be given some.
func TestReserveOpened(t *testing.T) {
	name := newName(t)
	require.NoError(t, os.WriteFile(inShm(name), nil, 0o644)) // others may read
	require.NoError(t, os.Truncate(inShm(name), 4*page))
	s := opened(t, shm.Open, name)
	assert.Zero(t, backed(t, s))
	restore := shm.SetFileRoom(4*page - 1)
	err := s.Reserve(0, 4*page)
	assert.ErrorIs(t, err, shm.ErrNoMemory)
	assert.Zero(t, backed(t, s), "nothing was allocated")
	restore()
	require.NoError(t, s.Reserve(0, 4*page))
	assertBacked(t, s, 4*page)
	require.NoError(t, shm.Remove(name))
}

// Whatever has the name, a Create leaves it alone.
func TestCreateWhatExists(t *testing.T) {
	for kind, make := range filesOfAllKinds(t) {
		name := newName(t)
		make(inShm(name))
		before, err := os.Lstat(inShm(name))
		require.NoError(t, err)
		_, err = shm.Create(name, page)
		assert.ErrorIs(t, err, fs.ErrExist, kind)
		assert.ErrorContains(t, err, name)
		assertUntouched(t, before, inShm(name))
		require.NoError(t, os.Remove(inShm(name)))
	}
}

func assertUntouched(t *testing.T, before fs.FileInfo, path string) {
	after, err := os.Lstat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))
	assert.Equal(t, before.Mode(), after.Mode())
	assert.Equal(t, before.Size(), after.Size())
	assert.Equal(t, before.ModTime(), after.ModTime())
}

// filesOfAllKinds returns what makes them at a path.
func filesOfAllKinds(t *testing.T) map[string]func(path string) {
	ok := func(err error) { require.NoError(t, err) }
	file := func(mode fs.FileMode, content string) func(string) {
		return func(path string) {
			ok(os.WriteFile(path, []byte(content), 0o600))
			ok(os.Chmod(path, mode))
		}
	}
	target := writeFile(t, "content")
	return map[string]func(string){
		"a symbolic link":     func(path string) { ok(os.Symlink(target, path)) },
		"to nowhere":          func(path string) { ok(os.Symlink(path+"-none", path)) },
		"a pipe":              func(path string) { ok(exec.Command("mkfifo", "-m", "600", path).Run()) },
		"a directory":         func(path string) { ok(os.Mkdir(path, 0o700)) },
		"a socket":            func(path string) { ok(listenAndLeave(path)) },
		"for everybody":       file(0o606, "content"),
		"for its group":       file(0o660, "content"),
		"for both":            file(0o666, "content"),
		"empty":               file(0o600, ""),
		"another's":           file(0o600, "content"),
		"another's, readable": file(0o644, "content"),
	}
}

// listenAndLeave leaves a socket to which nobody listens.
func listenAndLeave(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

func TestOpenRefuses(t *testing.T) {
	const notShared = ", not shared memory: invalid argument"
	kinds := filesOfAllKinds(t)
	for kind, want := range map[string]struct {
		is        error
		says      string
		removable bool
	}{
		"a symbolic link":     {os.ErrInvalid, "it is a symbolic link" + notShared, false},
		"to nowhere":          {os.ErrInvalid, "it is a symbolic link" + notShared, false},
		"a pipe":              {os.ErrInvalid, "it is a pipe" + notShared, false},
		"a directory":         {os.ErrInvalid, "it is a directory" + notShared, false},
		"a socket":            {os.ErrInvalid, "it is a socket" + notShared, false},
		"for everybody":       {fs.ErrPermission, "its mode is -rw----rw-, everybody may write to it: run chmod o-w", true},
		"for its group":       {fs.ErrPermission, "its mode is -rw-rw----, its group may write to it: run chmod g-w", true},
		"for both":            {fs.ErrPermission, "its mode is -rw-rw-rw-, everybody may write to it", true},
		"empty":               {shm.ErrEmpty, "segment has no bytes", true},
		"another's":           {fs.ErrPermission, "it belongs to user ", false},
		"another's, readable": {fs.ErrPermission, "and this process to user 123456: permission denied", false},
	} {
		t.Run(kind, func(t *testing.T) {
			name := newName(t)
			path := inShm(name)
			kinds[kind](path)
			if strings.HasPrefix(kind, "another's") {
				t.Cleanup(shm.SetEuid(123456))
			}
			before, err := os.Lstat(path)
			require.NoError(t, err)
			errs := callOpen(name)
			_, found := listed(t, name)
			assert.False(t, found)
			assertUntouched(t, before, path)
			err = shm.Remove(name)
			if want.removable {
				require.NoError(t, err)
			} else {
				errs["remove"] = err
				assertUntouched(t, before, path)
				require.NoError(t, os.Remove(path))
			}
			for call, err := range errs {
				assert.ErrorIs(t, err, want.is, call)
				assert.ErrorContains(t, err, want.says, call)
				assert.ErrorContains(t, err, name, call)
			}
		})
	}
	_, err := shm.Open(newName(t))
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// As long as one has it, it is held.
func TestHeld(t *testing.T) {
	s := createNamed(t, page+1)
	info, found := listed(t, s.Name())
	require.True(t, found)
	assert.Equal(t, shm.Info{Name: s.Name(), Size: page + 1, Held: true}, info)
	for _, open := range []func(string) (*shm.Segment, error){shm.Open, shm.OpenReadOnly} {
		other := opened(t, open, s.Name())
		require.NoError(t, s.Close())
		assert.ErrorIs(t, shm.RemoveOrphan(s.Name()), shm.ErrHeld)
		info, _ = listed(t, s.Name())
		assert.True(t, info.Held)
		require.NoError(t, other.Close())
		info, _ = listed(t, s.Name())
		assert.False(t, info.Held)
	}
	require.NoError(t, shm.RemoveOrphan(s.Name()))
	_, found = listed(t, s.Name())
	assert.False(t, found)
}

// The file of a segment with a name is not sealed, so nobody gets it for a segment that is.
func TestAttachRefusesNamed(t *testing.T) {
	s := createNamed(t, page)
	_, err := shm.Attach(reopen(t, s, os.O_RDWR))
	assert.ErrorContains(t, err, "not sealed against SHRINK and GROW")
}

// What no seal prevents ends whoever touches the bytes, and them alone.
func TestTruncatedSegmentFaults(t *testing.T) {
	s := createNamed(t, 2*page)
	require.NoError(t, os.Truncate(inShm(s.Name()), page))
	assert.False(t, faults(func() { seen = s.Bytes()[page-1] }))
	assert.True(t, faults(func() { seen = s.Bytes()[page] }))
	assert.EqualValues(t, page, opened(t, shm.Open, s.Name()).Size())
}

// Who was waiting for a collector's lock does not get the segment that this has removed meanwhile.
func TestOpenWaitsForTheCollector(t *testing.T) {
	s := createNamed(t, page)
	require.NoError(t, s.Close())
	for _, next := range []bool{false, true} {
		collector := lockedByCollector(t, s.Name())
		_, ino, err := sys.FileID(collector)
		require.NoError(t, err)

		var opener sync.WaitGroup
		var got *shm.Segment
		var refused error
		opener.Go(func() { got, refused = shm.Open(s.Name()) })
		awaitWaiter(t, ino)
		require.NoError(t, os.Remove(inShm(s.Name())))
		if next {
			other, err := shm.Create(s.Name(), 3*page)
			require.NoError(t, err)
			defer other.Close()
		}
		require.NoError(t, collector.Close())
		opener.Wait()
		if next {
			require.NoError(t, refused)
			assert.EqualValues(t, 3*page, got.Size())
			assert.NoError(t, got.Close())
		} else {
			assert.ErrorIs(t, refused, fs.ErrNotExist)
			again, err := shm.Create(s.Name(), page)
			require.NoError(t, err)
			require.NoError(t, again.Close())
		}
	}
}

// Nobody takes the name away from a segment that a collector is just looking at: it could remove the next one of that name.
func TestRemoveWaitsForTheCollector(t *testing.T) {
	s := createNamed(t, page)
	require.NoError(t, s.Close())
	collector := lockedByCollector(t, s.Name())
	_, ino, err := sys.FileID(collector)
	require.NoError(t, err)
	removed := make(chan error, 1)
	go func() { removed <- shm.Remove(s.Name()) }()
	awaitWaiter(t, ino)
	_, err = os.Lstat(inShm(s.Name()))
	assert.NoError(t, err)
	require.NoError(t, collector.Close())
	assert.NoError(t, <-removed)
}

// lockedByCollector opens and locks what has the name, as RemoveOrphan does before it removes it.
func lockedByCollector(t *testing.T, name string) *os.File {
	f, err := os.Open(inShm(name))
	require.NoError(t, err)
	free, err := sys.TryLock(f)
	require.NoError(t, err)
	require.True(t, free)
	return f
}

// Whoever holds a segment is found by its name as long as all that remove it ask whether it is held.
func TestOpenBesideRemoveOrphan(t *testing.T) {
	name := newName(t)
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s, err := shm.Open(name)
				if err != nil {
					assert.ErrorIs(t, err, fs.ErrNotExist)
					continue
				}
				mine, err := s.File().Stat()
				assert.NoError(t, err)
				named, err := os.Stat(inShm(name))
				assert.True(t, err == nil && os.SameFile(mine, named), "it was removed while it was held: %v", err)
				assert.NoError(t, s.Close())
			}
		})
	}
	for range rounds {
		s, err := shm.Create(name, page)
		require.NoError(t, err)
		require.ErrorIs(t, shm.RemoveOrphan(name), shm.ErrHeld)
		require.NoError(t, s.Close())
		err = shm.RemoveOrphan(name)
		for errors.Is(err, shm.ErrHeld) {
			err = shm.RemoveOrphan(name)
		}
		require.NoError(t, err)
	}
	close(stop)
	all.Wait()
}

// awaitWaiter returns when somebody waits for a lock on the file of that number. Nothing announces it but the system's list.
func awaitWaiter(t *testing.T, ino uint64) {
	const watchdog, tick = 30 * time.Second, time.Millisecond
	require.Eventually(t, func() bool {
		locks, err := os.ReadFile("/proc/locks")
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> FLOCK") && strings.Contains(line, fmt.Sprintf(":%d ", ino)) {
				return true
			}
		}
		return !assert.NoError(t, err)
	}, watchdog, tick)
}
