package shm_test

import (
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

func TestNewArenaRefuses(t *testing.T) {
	const n = 10 << 20
	for _, c := range []struct {
		n, page int64
		self    shm.Holder
		len     int64
		want    string
	}{
		{-1, 0, 1, shm.ArenaSize(0, 0), "make arena for -1 bytes: it must be between 0 and 4398046511104"},
		{math.MaxInt64, 0, 1, 1 << 20, "make arena for 9223372036854775807 bytes"},
		{1<<42 + 1, 0, 1, 1 << 20, "make arena for 4398046511105 bytes"},
		{n, 0, 1, shm.ArenaSize(n, 0) - 1, fmt.Sprintf("10485760 bytes of blocks need %d bytes of memory, not %d", shm.ArenaSize(n, 0), shm.ArenaSize(n, 0)-1)},
		{n, 0, 0, shm.ArenaSize(n, 0), "holder is 0, it must be between 1 and 4194303"},
		{n, 0, shm.MaxHolder + 1, shm.ArenaSize(n, 0), "holder is 4194304, it must be between 1 and 4194303"},
		{n, 5000, 1, shm.ArenaSize(n, 0), "in pages of 5000 bytes: it must be a power of two"},
	} {
		_, err := shm.NewArena(make([]byte, c.len), c.n, c.page, c.self, nil)
		require.ErrorIs(t, err, os.ErrInvalid, "%+v", c)
		assert.ErrorContains(t, err, c.want)
	}
}

func TestOpenArenaRefuses(t *testing.T) {
	const n = 10 << 20
	fresh := func() []byte {
		mem := make([]byte, shm.ArenaSize(n, 0))
		_, err := shm.NewArena(mem, n, 0, parentHolder, nil)
		require.NoError(t, err)
		return mem
	}
	refuse := func(want error, mem []byte, h shm.Holder) {
		t.Helper()
		_, err := shm.OpenArena(mem, h, nil)
		require.ErrorIs(t, err, want)
	}
	refuse(os.ErrInvalid, fresh(), 0)
	refuse(os.ErrInvalid, fresh(), shm.MaxHolder+1)
	refuse(layout.ErrSize, fresh()[:4096], 2)
	refuse(layout.ErrNotShmkit, make([]byte, 1<<20), 2)
	other := make([]byte, 1<<20)
	require.NoError(t, layout.Init(other, layout.KindPool, 1))
	refuse(layout.ErrKind, other, 2)
	for _, params := range [][]uint64{{0, 4096}, {1, 4096}, {math.MaxUint64, 4096}, {161, 4096}, {160, 0}, {160, 2048}, {160, 4097}, {160, 1 << 41}, {160, 8192 + 4096}} {
		mem := fresh()
		require.NoError(t, layout.Init(mem, layout.KindArena, params...))
		refuse(layout.ErrParams, mem, 2)
	}
	_, err := shm.OpenArena(fresh(), shm.MaxHolder, nil)
	require.NoError(t, err)
}
