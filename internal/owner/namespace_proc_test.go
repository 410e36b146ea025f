//go:build linux && (amd64 || arm64)

package owner

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

func TestNamespace(t *testing.T) {
	here, err := Namespace()
	require.NoError(t, err)
	link, err := os.Readlink("/proc/self/ns/pid")
	require.NoError(t, err)
	assert.Equal(t, link, fmt.Sprintf("pid:[%d]", here))

	mem := layout.SliceBytes(make([]uint64, 8))
	require.NoError(t, Init(mem, layout.KindMutex, 1, 2))
	params, err := Check(mem, layout.KindMutex)
	require.NoError(t, err)
	assert.Equal(t, [5]uint64{1, 2, 0, 0, here}, params)
	_, err = Check(mem, layout.KindOnce)
	assert.ErrorIs(t, err, layout.ErrKind)
	assert.Panics(t, func() { _ = Init(mem, layout.KindMutex, 1, 2, 3, 4, 5) })
	_, err = Check(mem, layout.KindMutex)
	assert.NoError(t, err, "nothing was written")

	words := layout.MustSlice[uint64](mem, 0, 8)
	require.Equal(t, here, words[7], "the offset of docs/LAYOUT.md")
	words[7]++
	_, err = Check(mem, layout.KindMutex)
	assert.ErrorIs(t, err, ErrNamespace)
	assert.EqualError(t, err, fmt.Sprintf("attach mutex: its processes are those of PID namespace %d, this one is in %d, where they look dead: "+
		"do not attach here, or have all of them share a PID namespace: another PID namespace", here+1, here))
}
