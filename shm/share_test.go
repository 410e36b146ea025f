package shm_test

import (
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

func adopt(t *testing.T, s *shm.Segment) *shm.Segment {
	t.Helper()
	f, data, ended, err := s.Share()
	require.NoError(t, err)
	require.Nil(t, ended)
	other := new(shm.Segment)
	require.NoError(t, other.Adopt(f, data))
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	return other
}

func TestShareSegment(t *testing.T) {
	before := shmFiles(t)
	s, err := shm.New("shared", 5000)
	require.NoError(t, err)
	other := adopt(t, s)
	other.Bytes()[4999] = 7
	assert.EqualValues(t, 7, s.Bytes()[4999])
	assert.Equal(t, "shared", other.Name())
	require.NoError(t, s.Close())
	assert.EqualValues(t, 7, other.Bytes()[4999], "it has a file of its own")
	_, _, _, err = s.Share()
	assert.ErrorIs(t, err, os.ErrClosed)

	again := adopt(t, other)
	require.NoError(t, other.Close())
	assert.EqualValues(t, 7, again.Bytes()[4999])
	require.NoError(t, again.Close())
	assert.Equal(t, before, shmFiles(t))
}

// A named segment that was shared is held as long as one of the two has it.
func TestShareNamedSegment(t *testing.T) {
	name := newName(t)
	s, err := shm.Create(name, 100)
	require.NoError(t, err)
	defer func() { require.NoError(t, shm.Remove(name)) }()
	ro, err := shm.OpenReadOnly(name)
	require.NoError(t, err)
	s.Bytes()[99] = 1
	roToo := adopt(t, ro)
	assert.EqualValues(t, 1, roToo.Bytes()[99])
	require.NoError(t, roToo.Close())
	require.NoError(t, ro.Close())

	other := adopt(t, s)
	require.NoError(t, s.Close())
	assert.Equal(t, name, other.Name())
	assert.EqualValues(t, 100, other.Size())
	assert.ErrorIs(t, shm.RemoveOrphan(name), shm.ErrHeld)
	require.NoError(t, os.Chmod("/dev/shm/"+name, 0o622))
	f, data, _, err := other.Share()
	require.NoError(t, err)
	assert.ErrorIs(t, new(shm.Segment).Adopt(f, data), fs.ErrPermission)
}

func TestAdoptWhatIsNoSegment(t *testing.T) {
	s := newSegment(t, 100)
	f, data, _, err := s.Share()
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"nothing":           "",
		"short":             "w",
		"unknown access":    "xa",
		"unknown kind":      "wx",
		"anonymous by name": "waname",
		"a slash":           "wna/b",
	} {
		assert.ErrorIs(t, new(shm.Segment).Adopt(f, []byte(bad)), os.ErrInvalid, name)
	}
	assert.ErrorIs(t, new(shm.Segment).Adopt(nil, data), os.ErrInvalid)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	assert.ErrorIs(t, new(shm.Segment).Adopt(null, data), os.ErrInvalid)
}
