package shm

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Piece is the memory of one object that processes share. Small ones of a process lie in one segment, so that a thousand of them
// need one mapping and one descriptor. All methods may be called by several goroutines at once.
//
// Who is given a piece maps all of its segment, for writing: a child that is given one small object of its parent's can write into the
// others. That is no boundary against a hostile child; a [Segment] of one's own is.
type Piece struct {
	mu   sync.Mutex
	slab *slab // nil before Adopt and once closed
	name string
	off  int64
	size int64

	shared bool // others may have it
}

const (
	slabSize   = 1 << 20
	largePiece = slabSize / 16 // has a segment of its own
	pieceData  = 16            // bytes that Share returns
)

// A slab is a segment with pieces in it. slabs.Mutex guards it.
type slab struct {
	seg    *Segment
	id     fileID
	pieces int               // that are open in this process
	next   int64             // what lies behind was never given out
	free   map[int64][]int64 // by size: pieces that nobody had but this process
}

// A fileID names a file as long as somebody has it open.
type fileID struct{ dev, ino uint64 }

// slabs are those in which this process has pieces.
var slabs struct {
	sync.Mutex
	current *slab // in which there may be room
	byID    map[fileID]*slab
}

// NewPiece makes a piece of size bytes, all zero, backed by memory and aligned to a cache line. The name is for people, and
// shows for large pieces as New's does. The caller closes the piece.
func NewPiece(name string, size int64) (*Piece, error) {
	if err := checkNew(name, size); err != nil {
		return nil, fmt.Errorf("create piece %q: %w", name, err)
	}
	slabs.Lock()
	defer slabs.Unlock()
	p := &Piece{name: name, size: size}
	if err := p.place(); err != nil {
		return nil, fmt.Errorf("create piece %q: %w", name, err)
	}
	return p, nil
}

// place finds room. The caller holds slabs' lock.
func (p *Piece) place() (err error) {
	room := layout.Align(p.size, layout.Line)
	s := slabs.current
	switch {
	case room >= largePiece:
		if s, err = newSlab(p.name, p.size); err != nil {
			return err
		}
	case s == nil || len(s.free[room]) == 0 && s.next+room > slabSize:
		if s, err = newSlab("objects", slabSize); err != nil {
			return err
		}
		slabs.current = s
	}
	if p.off, err = s.take(room); err != nil {
		s.let()
		return err
	}
	s.pieces++
	p.slab = s
	return nil
}

func newSlab(name string, size int64) (*slab, error) {
	seg, err := New(name, size)
	if err != nil {
		return nil, err
	}
	return addSlab(seg)
}

func addSlab(seg *Segment) (*slab, error) {
	dev, ino, err := sys.FileID(seg.File())
	if err != nil {
		seg.Close()
		return nil, err
	}
	s := &slab{seg: seg, id: fileID{dev, ino}, free: map[int64][]int64{}}
	if slabs.byID == nil {
		slabs.byID = map[fileID]*slab{}
	}
	slabs.byID[s.id] = s
	return s, nil
}

// take returns where room bytes, or as many as there are, are free, zero and backed.
func (s *slab) take(room int64) (off int64, err error) {
	if free := s.free[room]; len(free) > 0 {
		off = free[len(free)-1]
		s.free[room] = free[:len(free)-1]
		clear(s.seg.Bytes()[off : off+room])
		return off, nil
	}
	if err := s.seg.Reserve(s.next, min(room, s.seg.Size()-s.next)); err != nil {
		return 0, err
	}
	off = s.next
	s.next += room
	return off, nil
}

// let closes the segment if this process has no piece in it.
func (s *slab) let() error {
	if s.pieces > 0 {
		return nil
	}
	delete(slabs.byID, s.id)
	if slabs.current == s {
		slabs.current = nil
	}
	return s.seg.Close()
}

// Bytes returns the memory, which is valid until Close. A call after Close panics.
func (p *Piece) Bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slab == nil {
		panic(fmt.Sprintf("shm: Bytes of piece %q after Close", p.name))
	}
	end := p.off + p.size
	return p.slab.seg.Bytes()[p.off:end:end]
}

// Share returns what another process needs to have the piece, for [Piece.Adopt]: a file to pass to it, which stays the
// piece's and may be that of others, and some bytes.
func (p *Piece) Share() (f *os.File, data []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slab == nil {
		return nil, nil, fmt.Errorf("share piece %q: %w", p.name, os.ErrClosed)
	}
	p.shared = true
	data = binary.LittleEndian.AppendUint64(nil, uint64(p.off))
	return p.slab.seg.File(), binary.LittleEndian.AppendUint64(data, uint64(p.size)), nil
}

// Adopt makes p, which is new(Piece), the piece that was shared, in the same process or in another. f stays the caller's.
func (p *Piece) Adopt(f *os.File, data []byte) error {
	if f == nil || len(data) != pieceData {
		return fmt.Errorf("adopt piece: a file and %d bytes, want %d: %w", len(data), pieceData, os.ErrInvalid)
	}
	off, size := int64(binary.LittleEndian.Uint64(data)), int64(binary.LittleEndian.Uint64(data[8:]))
	slabs.Lock()
	defer slabs.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slab != nil {
		return fmt.Errorf("adopt piece: %q is open already: %w", p.name, os.ErrInvalid)
	}
	s, err := slabOf(f)
	if err != nil {
		return fmt.Errorf("adopt piece: %w", err)
	}
	if off < 0 || off%layout.Line != 0 || size <= 0 || off > s.seg.Size() || size > s.seg.Size()-off {
		_ = s.let()
		return fmt.Errorf("adopt piece: %d bytes at %d of %d: %w", size, off, s.seg.Size(), os.ErrInvalid)
	}
	s.pieces++
	p.slab, p.name, p.off, p.size, p.shared = s, s.seg.Name(), off, size, true
	return nil
}

// slabOf returns the slab whose segment f is open on. The caller holds slabs' lock.
func slabOf(f *os.File) (*slab, error) {
	dev, ino, err := sys.FileID(f)
	if err != nil {
		return nil, err
	}
	if s := slabs.byID[fileID{dev, ino}]; s != nil {
		return s, nil
	}
	seg := new(Segment)
	if err := seg.Adopt(f, []byte{sharedWritable, sharedAnonymous}); err != nil {
		return nil, err
	}
	return addSlab(seg)
}

// Close gives the piece up: its memory must not be used any more in this process. Others keep theirs. A second Close does
// nothing.
func (p *Piece) Close() error {
	slabs.Lock()
	defer slabs.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slab
	if s == nil {
		return nil
	}
	p.slab = nil
	if room := layout.Align(p.size, layout.Line); !p.shared && room < largePiece {
		s.free[room] = append(s.free[room], p.off)
	}
	s.pieces--
	if err := s.let(); err != nil {
		return fmt.Errorf("close piece %q: %w", p.name, err)
	}
	return nil
}
