package semaphore

import (
	"errors"
	"fmt"
	"os"

	"github.com/shmkit/shmkit/shm"
)

// A home is the memory of an object that its own process, or one that shared it, has made; the zero home is memory of the caller's.
type home struct{ piece *shm.Piece }

// settle gets size bytes of memory of kind's own, and has open make something of them.
func (h *home) settle(kind string, size int64, open func(mem []byte) error) error {
	piece, err := shm.NewPiece(kind, size)
	if err != nil {
		return fmt.Errorf("make %s: %w", kind, err)
	}
	if err := open(piece.Bytes()); err != nil {
		return errors.Join(err, piece.Close())
	}
	h.piece = piece
	return nil
}

// share is the Share of an object.
func (h *home) share(kind string) (f *os.File, data []byte, ended func(), err error) {
	if h.piece == nil {
		return nil, nil, nil, fmt.Errorf("share %s: it lies in memory of the caller's: %w", kind, os.ErrInvalid)
	}
	f, data, err = h.piece.Share()
	return f, data, nil, err
}

// adopt is the Adopt of an object.
func (h *home) adopt(kind string, f *os.File, data []byte, open func(mem []byte) error) error {
	piece := new(shm.Piece)
	if err := piece.Adopt(f, data); err != nil {
		return fmt.Errorf("adopt %s: %w", kind, err)
	}
	if err := open(piece.Bytes()); err != nil {
		return errors.Join(fmt.Errorf("adopt %s: %w", kind, err), piece.Close())
	}
	h.piece = piece
	return nil
}

// close gives the memory up.
func (h *home) close(kind string) error {
	if h.piece == nil {
		return nil
	}
	if err := h.piece.Close(); err != nil {
		return fmt.Errorf("close %s: %w", kind, err)
	}
	return nil
}
