//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// An image reads like the memory of which it has the parts.
func TestImage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := make([]byte, rapid.IntRange(0, 2000).Draw(t, "size"))
		var file bytes.Buffer
		w := newImageWriter(&file, int64(len(mem)), imageNote{Taken: 5})
		for at := 0; at < len(mem); {
			at = min(at+rapid.IntRange(0, 100).Draw(t, "gap"), len(mem))
			n := min(rapid.IntRange(0, 100).Draw(t, "bytes"), len(mem)-at)
			copy(mem[at:at+n], rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "part"))
			w.extent(int64(at), mem[at:at+n])
			at += max(n, 1)
		}
		require.NoError(t, w.err)
		im, err := openImage(bytes.NewReader(file.Bytes()), int64(file.Len()))
		require.NoError(t, err)
		require.EqualValues(t, 5, im.note.Taken)
		for range 20 {
			off := rapid.IntRange(0, len(mem)).Draw(t, "off")
			b := bytes.Repeat([]byte{9}, rapid.IntRange(0, len(mem)-off).Draw(t, "n"))
			_, err := im.ReadAt(b, int64(off))
			require.NoError(t, err)
			require.Equal(t, mem[off:off+len(b)], b)
			if !im.has(int64(off), int64(len(b))) {
				require.Equal(t, make([]byte, len(b)), b)
			}
		}
		_, err = im.ReadAt(make([]byte, 1), int64(len(mem)))
		require.Error(t, err)
		cut := rapid.IntRange(0, file.Len()-1).Draw(t, "cut")
		if im, err := openImage(bytes.NewReader(file.Bytes()[:cut]), int64(cut)); err == nil {
			require.LessOrEqual(t, im.size, int64(len(mem)))
		}
	})
}

// blank takes out what lies in slots as values, wherever a part of the memory begins, and nothing else.
func TestBlank(t *testing.T) {
	g := smallGeometry
	o := g.offsets()
	whole := bytes.Repeat([]byte{1}, int(o.near))
	blank(whole, 0, g)
	for at := range o.near {
		in := at - o.slots
		value := in >= 0 && in < int64(g.slots)*slotBytes && in%slotBytes >= slotBytes-2*inlineBytes
		require.Equal(t, value, whole[at] == 0, "byte %d", at)
	}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64Range(0, o.near).Draw(t, "from")
		to := rapid.Int64Range(from, o.near).Draw(t, "to")
		part := bytes.Repeat([]byte{1}, int(to-from))
		blank(part, from, g)
		require.Equal(t, whole[from:to], part)
	})
}
