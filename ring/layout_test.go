package ring

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

func TestSPSCBadMemory(t *testing.T) {
	assert.Equal(t, storageOff+32, SPSCSize(0))
	assert.Equal(t, storageOff+128, SPSCSize(65))
	assert.Panics(t, func() { SPSCSize(-1) })
	for _, n := range []int{0, storageOff, storageOff + 16, storageOff + 33, storageOff + 96} {
		assert.ErrorContains(t, InitSPSC(make([]byte, n)), fmt.Sprint(n))
	}
	words := make([]uint64, (storageOff+64)/8+1)
	assert.ErrorContains(t, InitSPSC(layout.SliceBytes(words)[1:][:storageOff+64]), "not aligned")

	mem := make([]byte, SPSCSize(64))
	attach := func(mem []byte) error {
		_, err1 := AttachProducer(mem)
		_, err2 := AttachConsumer(mem)
		return errors.Join(err1, err2)
	}
	assert.ErrorIs(t, attach(mem), layout.ErrNotShmkit)
	require.NoError(t, InitSPSC(mem))
	assert.ErrorIs(t, attach(mem[:len(mem)-8]), layout.ErrSize)
	require.NoError(t, layout.Init(mem, layout.KindSPSC, 32))
	assert.ErrorIs(t, attach(mem), layout.ErrParams)
	require.NoError(t, layout.Init(mem, layout.KindPool, 64))
	assert.ErrorIs(t, attach(mem), layout.ErrKind)
}

// The bytes in shared memory are an interface between programs.
func TestSPSCLayout(t *testing.T) {
	typ := reflect.TypeFor[spscControl]()
	require.NoError(t, layout.PointerFree(typ))
	assert.EqualValues(t, storageOff, typ.Size())
	for name, off := range map[string]uintptr{"header": 0, "head": layout.Line, "taken": layout.Line + 8} {
		f, ok := typ.FieldByName(name)
		require.True(t, ok)
		assert.Equal(t, off, f.Offset, name)
	}
	assert.Equal(t, header(0x0000_0000_0000_0006), payload(5, 0))
	assert.Equal(t, header(0x0000_0200_0000_0011), payload(16, 16))
	assert.Equal(t, maxCapacity, payload(maxCapacity, 0).size())
	assert.Equal(t, maxEach, payload(8, maxEach).each())
	assert.False(t, payload(maxCapacity, maxEach).isPadding())
}
