package pool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// An Observer looks at a pool from another process: at what its processes say of themselves in its memory, and at how its queue and its
// memory stand. It reads the file in which the memory is; it does not map it, writes nothing, and nobody of the pool notices. The pool may
// work, hang, have been killed, or be closed meanwhile; an image that [Observer.Dump] has written is as good.
//
// Each number is as it was at one moment, different ones at different moments. All of them may be wrong: a worker can write anything
// anywhere. Whatever they are, an Observer returns, within a bounded time and with bounded memory.
//
// As long as it is not closed, an Observer keeps the memory of a pool from being freed, like anybody who has its file open. Its methods
// may be called by several goroutines at once.
type Observer struct {
	file  io.ReaderAt
	holes func(off, n int64) bool // whether something was ever written there
	close func() error
	image *image // nil if it is a pool's memory itself
	geo   geometry
	off   offsets
	names []string // of the functions
}

// Observe looks at the pool whose memory f is: what /proc/PID/fd/N of its parent or a worker leads to, opened for reading, the link being
// "/memfd:shmkit:NAME". What is not a pool's memory, or that of a version with another layout, is an error that says what it is. f belongs to
// the Observer then, and is closed with it; if Observe fails it stays the caller's.
func Observe(f *os.File) (*Observer, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: %w", f.Name(), os.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("observe pool: %w", err)
	}
	o := &Observer{file: f, holes: func(off, n int64) bool { return sys.HasData(f, off, n) }, close: f.Close}
	if err := o.open(info.Size()); err != nil {
		return nil, fmt.Errorf("observe pool: %w", err)
	}
	return o, nil
}

// Close lets go of the memory.
func (o *Observer) Close() error { return o.close() }

func (o *Observer) open(size int64) error {
	front, err := o.front(size)
	if err == nil && isImage(front) {
		if o.image, err = openImage(o.file, size); err != nil {
			return err
		}
		o.file, o.holes, size = o.image, o.image.has, o.image.size
		front, err = o.front(size)
	}
	if err != nil {
		return err
	}
	params, err := layout.CheckFront(front, size, layout.KindPool)
	if err != nil {
		return err
	}
	if o.geo, err = geometryOf(params, size); err != nil {
		return err
	}
	o.off = o.geo.offsets()
	return o.readNames()
}

func (o *Observer) front(size int64) ([]byte, error) {
	if size < layout.HeaderSize {
		return nil, fmt.Errorf("%d bytes are not the memory of a pool: %w", size, layout.ErrNotShmkit)
	}
	return o.read(0, layout.HeaderSize)
}

// maxTable is how much of a table of functions is read at most.
const maxTable = 16 << 20

func (o *Observer) readNames() error {
	if o.geo.table > maxTable {
		return fmt.Errorf("a table of functions of %d bytes: %w", o.geo.table, layout.ErrParams)
	}
	table, err := o.read(o.off.table, int64(o.geo.table))
	if err != nil {
		return err
	}
	for len(table) >= 12 && len(o.names) < o.geo.functions {
		n := uint64(binary.LittleEndian.Uint32(table[8:]))
		if n > uint64(len(table)-12) {
			break
		}
		o.names = append(o.names, string(table[12:12+n]))
		table = table[12+n:]
	}
	if len(o.names) != o.geo.functions || len(table) > 0 {
		return fmt.Errorf("the table of functions has not %d entries: %w", o.geo.functions, layout.ErrParams)
	}
	return nil
}

// read copies n bytes of the memory, as they are. They are this process's own, aligned for words.
func (o *Observer) read(off, n int64) ([]byte, error) {
	b := layout.SliceBytes(make([]uint64, (n+7)/8))[:n]
	return b, o.readInto(b, off)
}

func (o *Observer) readInto(b []byte, off int64) error {
	if _, err := o.file.ReadAt(b, off); err != nil {
		if errors.Is(err, io.EOF) { // it was cut off since
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %d bytes at %d: %w", len(b), off, err)
	}
	return nil
}

// function returns a function's name.
func (o *Observer) function(i uint32) string {
	if int64(i) < int64(len(o.names)) {
		return o.names[i]
	}
	return fmt.Sprintf("function %d", i)
}

// common reads what the parent says.
func (o *Observer) common() (c telemetry.Common, err error) {
	mem, err := o.read(o.off.telemetry, telemetry.CommonSize(o.geo.workers))
	if err != nil {
		return c, err
	}
	return telemetry.ViewCommon(mem, o.geo.workers)
}

// records is where worker i's records lie.
func (o *Observer) records(i int) int64 {
	return o.off.records + int64(i)*telemetry.OwnSize(o.geo.functions)
}
