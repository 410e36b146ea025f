package ring

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// FuzzPipeBytes: whatever lies in the memory, and is written there meanwhile, it is refused, or no call panics, waits for ever, or
// returns an error that is not documented.
func FuzzPipeBytes(f *testing.F) {
	self, err := owner.Self()
	require.NoError(f, err)
	size, _ := pipeSize(128, 2)
	mem := aligned(size)
	require.NoError(f, initPipe(mem, 128, 2, self, 1<<64-64))
	f.Add(bytes.Clone(mem), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8})
	a := heapEnd(f, mem, 0, self)
	for _, n := range []int{0, 9, 20} {
		require.NoError(f, a.Send(f.Context(), message(n, 1)))
	}
	f.Add(bytes.Clone(mem), []byte{1, 1, 1, 0, 129, 3, 200, 1, 2})
	binary.NativeEndian.PutUint64(mem[pipeControlSize+storageOff+64:], 1<<40|firstPiece)
	f.Add(bytes.Clone(mem), []byte{1, 2, 1, 2, 3, 3, 3})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		if len(src) > 1<<12 {
			return
		}
		mem := aligned(int64(len(src)))
		copy(mem, src)
		var ends []*PipeEnd
		for me := range 2 {
			e := new(PipeEnd)
			if e.attach(mem, me, self) != nil {
				return
			}
			e.state.Store(open)
			// To watch whoever is named there, and to ask whether he lives, is tested elsewhere, and takes long.
			e.watch.of.Store(e.peer.holder.Load())
			ends = append(ends, e)
		}
		words := layout.MustSlice[uint64](mem, 0, len(mem)/8)
		for i, b := range script[:min(len(script), 64)] {
			if b >= 128 { // but for the header and the holders
				words[5*layout.Line/8+(int(b)*7)%(len(words)-5*layout.Line/8)] = uint64(i) * 0x0101_0000_0001 << (b % 29)
				continue
			}
			pipeAny(t, ends[b&1], b>>1)
		}
	})
}

// pipeAny does one call that does not wait for long.
func pipeAny(t *testing.T, e *PipeEnd, b byte) {
	var err error
	switch b % 4 {
	case 0:
		_, err = e.TrySend(make([]byte, b))
	case 1:
		_, _, err = e.TryRecv()
	case 2:
		_, err = e.Poll(context.Background(), 0)
	case 3:
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		err = e.Send(ended, make([]byte, 3*int(b)))
	}
	for _, known := range []error{io.EOF, io.ErrClosedPipe, ErrCorrupted, ErrTooLarge, os.ErrInvalid, context.Canceled} {
		if errors.Is(err, known) {
			return
		}
	}
	require.NoError(t, err)
}
