package objects

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/shmkit/shmkit/internal/sys"
)

// A Letter is what a child has to know before it shares anything: two texts and a number, in a memory file. What it says is
// believed: parent and child trust each other with their lives.
type Letter struct {
	Arg   []byte // encoded
	Table []byte // of the objects that it refers to
	Files int    // in which those lie
}

const letterHead = 24

// Write returns the file, which the caller closes.
func (l *Letter) Write() (*os.File, error) {
	b := make([]byte, 0, letterHead+len(l.Arg)+len(l.Table))
	for _, n := range []int{len(l.Arg), len(l.Table), l.Files} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	b = append(append(b, l.Arg...), l.Table...)
	f, err := sys.Memfd("shmkit-argument", int64(len(b)))
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write argument: %w", err)
	}
	return f, nil
}

// ReadLetter is the reverse. The file stays the caller's.
func ReadLetter(f *os.File) (l Letter, err error) {
	info, err := f.Stat()
	if err != nil {
		return l, err
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return l, err
	}
	if len(b) < letterHead {
		return l, fmt.Errorf("%d bytes: %w", len(b), io.ErrUnexpectedEOF)
	}
	arg, table := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	l.Files = int(binary.LittleEndian.Uint64(b[16:]))
	b = b[letterHead:]
	if arg > uint64(len(b)) || table != uint64(len(b))-arg {
		return l, fmt.Errorf("%d and %d bytes of %d: %w", arg, table, len(b), io.ErrUnexpectedEOF)
	}
	l.Arg, l.Table = b[:arg:arg], b[arg:]
	return l, nil
}
