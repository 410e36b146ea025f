package pool

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/shmkit/shmkit/internal/owner"
)

// An image is a file with parts of a pool's memory as they were at one time: a front, a note, and extents to the end of the file, in the
// order of the memory, each with its offset and length before it. What is in no extent is zero. Numbers are little-endian, of 8 bytes.
type image struct {
	file    io.ReaderAt
	size    int64 // of the memory
	note    imageNote
	extents []imageExtent
}

// imageNote is what an image says besides the memory, as JSON.
type imageNote struct {
	Taken  int64      // by sys.Nanotime
	Living []owner.ID // of those that the memory names
	Death  *Death     `json:",omitempty"`
}

type imageExtent struct{ off, n, at int64 }

const (
	imageMagic = 0x00ff_3167_6d69_6873 // "shimg1" and two bytes that no text has
	imageFront = 3 * 8                 // magic, size of the memory, length of the note
	maxNote    = 4 * crashBytes

	// mostExtents bounds what is remembered of an image, which has a handful of extents for each worker, and those of the arena.
	mostExtents = 1 << 20
)

var errImage = errors.New("not an image of a pool")

// openImage reads where the parts of an image lie in file, which has n bytes.
func openImage(file io.ReaderAt, n int64) (*image, error) {
	im := &image{file: file}
	front, err := readWords(file, 0, imageFront/8)
	if err != nil {
		return nil, err
	}
	im.size = int64(front[1])
	noted := front[2]
	if im.size < 0 || noted > maxNote || int64(noted) > n-imageFront {
		return nil, fmt.Errorf("memory of %d bytes and a note of %d in a file of %d: %w", front[1], noted, n, errImage)
	}
	note := make([]byte, noted)
	if _, err := file.ReadAt(note, imageFront); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(note, &im.note); err != nil {
		return nil, fmt.Errorf("note: %w: %w", err, errImage)
	}
	return im, im.index(imageFront+int64(noted), n)
}

func readWords(file io.ReaderAt, at int64, n int) ([]uint64, error) {
	b, words := make([]byte, 8*n), make([]uint64, n)
	if _, err := file.ReadAt(b, at); err != nil {
		return nil, err
	}
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return words, nil
}

func (im *image) index(at, end int64) error {
	for behind := int64(0); at < end; {
		x, err := readWords(im.file, at, 2)
		if err != nil {
			return err
		}
		at += 16
		off, n := int64(x[0]), int64(x[1])
		if off < behind || n <= 0 || n > end-at || n > im.size-off || len(im.extents) == mostExtents {
			return fmt.Errorf("%d bytes at %d, of %d: %w", x[1], x[0], im.size, errImage)
		}
		im.extents = append(im.extents, imageExtent{off, n, at})
		behind, at = off+n, at+n
	}
	return nil
}

// find returns the first extent that ends behind off.
func (im *image) find(off int64) int {
	i, _ := slices.BinarySearchFunc(im.extents, off, func(x imageExtent, off int64) int { return cmp.Compare(x.off+x.n, off+1) })
	return i
}

// has reports whether something is known of that part of the memory.
func (im *image) has(off, n int64) bool {
	i := im.find(off)
	return i < len(im.extents) && im.extents[i].off < off+n
}

// ReadAt reads the memory.
func (im *image) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off > im.size || int64(len(b)) > im.size-off {
		return 0, io.EOF
	}
	clear(b)
	end := off + int64(len(b))
	for i := im.find(off); i < len(im.extents) && im.extents[i].off < end; i++ {
		x := im.extents[i]
		from, to := max(off, x.off), min(end, x.off+x.n)
		if _, err := im.file.ReadAt(b[from-off:to-off], x.at+from-x.off); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// An imageWriter writes one.
type imageWriter struct {
	w   io.Writer
	err error
}

func newImageWriter(w io.Writer, size int64, note imageNote) *imageWriter {
	iw := &imageWriter{w: w}
	text, err := json.Marshal(note)
	if err != nil {
		panic(err) // nothing in it can fail
	}
	iw.words(imageMagic, uint64(size), uint64(len(text)))
	iw.bytes(text)
	return iw
}

func (iw *imageWriter) words(words ...uint64) {
	var b []byte
	for _, x := range words {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	iw.bytes(b)
}

func (iw *imageWriter) bytes(b []byte) {
	if iw.err == nil {
		_, iw.err = iw.w.Write(b)
	}
}

// extent writes a part of the memory. Parts come in their order.
func (iw *imageWriter) extent(off int64, mem []byte) {
	if len(mem) > 0 {
		iw.words(uint64(off), uint64(len(mem)))
		iw.bytes(mem)
	}
}
