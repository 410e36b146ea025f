package leak_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
)

// A recorder is a test that only notes what happens to it.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) end() {
	for i := range r.cleanups {
		r.cleanups[len(r.cleanups)-1-i]()
	}
}

func TestCheckPassesWhatIsClosed(t *testing.T) {
	r := &recorder{TB: t}
	leak.Check(r)
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	r.Cleanup(func() { assert.NoError(t, f.Close()) })
	r.end()
	assert.Empty(t, r.errors)
}

func TestCheckNamesWhatIsOpen(t *testing.T) {
	shorten(t)
	r := &recorder{TB: t}
	leak.Check(r)
	f, err := os.Create(filepath.Join(t.TempDir(), "left-open"))
	require.NoError(t, err)
	defer f.Close()
	r.end()
	require.Len(t, r.errors, 1)
	assert.Regexp(t, fmt.Sprintf("^leak: still there .* after the test: file descriptor %d: .*/left-open$", f.Fd()), r.errors[0])
}

// What was there before the test is not the test's.
func TestCheckLeavesOldThingsAlone(t *testing.T) {
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer f.Close()
	r := &recorder{TB: t}
	leak.Check(r)
	r.end()
	assert.Empty(t, r.errors)
}

// What ends by itself while Check looks is no leak.
func TestCheckWaits(t *testing.T) {
	r := &recorder{TB: t}
	leak.Check(r)
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	closed := make(chan error)
	time.AfterFunc(50*time.Millisecond, func() { closed <- f.Close() })
	r.end()
	require.NoError(t, <-closed)
	assert.Empty(t, r.errors)
}

func TestParseStat(t *testing.T) {
	const tail = " S 77 3 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200"
	name, state, parent, start, ok := leak.ParseStat("12 (a) R 1 (b c)" + tail)
	require.True(t, ok)
	assert.Equal(t, []string{"a) R 1 (b c", "S", "77", "4711"}, []string{name, state, parent, start})
	for _, bad := range []string{"", "1", "1 (a", ")(", "1 (a) S 2 3"} {
		_, _, _, _, ok := leak.ParseStat(bad)
		assert.False(t, ok, "%q", bad)
	}
}

func shorten(t *testing.T) {
	leak.SetPatience(100 * time.Millisecond)
	t.Cleanup(func() { leak.SetPatience(5 * time.Second) })
}
