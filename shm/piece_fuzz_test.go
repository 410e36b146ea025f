package shm_test

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// FuzzPieceData: whatever is said of where a piece lies, it is refused or lies within the file.
func FuzzPieceData(f *testing.F) {
	p, err := shm.NewPiece("fuzz", 300)
	require.NoError(f, err)
	file, data, err := p.Share()
	require.NoError(f, err)
	info, err := file.Stat()
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, p.Close()) })
	f.Add(data)
	f.Add(data[:15])
	f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1<<63-127), 1<<63-1))
	f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(info.Size())), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := new(shm.Piece)
		if err := o.Adopt(file, data); err != nil {
			require.ErrorIs(t, err, os.ErrInvalid)
			return
		}
		off, size := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
		require.LessOrEqual(t, off+size, uint64(info.Size()))
		require.Len(t, o.Bytes(), int(size))
		seen = o.Bytes()[size-1] // it does not fault
		require.NoError(t, o.Close())
	})
}
