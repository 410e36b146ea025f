package codec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shmkit/shmkit/internal/layout"
)

var errTrailing = errors.New("bytes left over")

// getFlat sets the fields from src. Each byte of src is read at most once,
// lengths into a local variable, so that a writer beside us cannot change them
// between their check and their use.
func getFlat(mem layout.Memory, ops []op, src []byte, view bool, s Taker) error {
	for i := range ops {
		var err error
		if src, err = ops[i].get(mem, src, view, s); err != nil {
			return fmt.Errorf("%s: %w", ops[i].path, err)
		}
	}
	return atEnd(src)
}

func atEnd(src []byte) error {
	if len(src) != 0 {
		return fmt.Errorf("%d %w", len(src), errTrailing)
	}
	return nil
}

func (o *op) get(mem layout.Memory, src []byte, view bool, s Taker) (rest []byte, err error) {
	var b []byte
	switch o.kind {
	case opPlain:
		if b, rest, err = take(src, uint64(o.size), 1); err != nil {
			return nil, err
		}
		dst := mem.Plain(o.off, o.size)
		copy(dst, b)
		layout.Normalise(dst, o.size, o.bools)
	case opString:
		var n uint64
		if n, rest, err = takeWord(src); err != nil {
			return nil, err
		}
		if b, rest, err = take(rest, n, 1); err != nil {
			return nil, err
		}
		*mem.String(o.off) = string(b)
	case opSlice:
		var n uint64
		if n, rest, err = takeWord(src); err != nil {
			return nil, err
		}
		if n == 0 {
			mem.SetSlice(o.off, o.size, nil)
			return rest, nil
		}
		if n&lent != 0 {
			return o.borrow(mem, n&^lent, rest, s)
		}
		if b, rest, err = take(rest, n-1, uint64(o.size)); err != nil {
			return nil, err
		}
		mem.SetSlice(o.off, o.size, o.elements(b, view))
	}
	return rest, nil
}

// elements returns b as memory for elements: b itself as a view, if that is possible.
func (o *op) elements(b []byte, view bool) []byte {
	if view && o.viewable() && layout.Aligned(b, o.align) {
		return b
	}
	own := layout.Clone(b)
	layout.Normalise(own, o.size, o.bools)
	return own
}

func takeWord(src []byte) (n uint64, rest []byte, err error) {
	b, rest, err := take(src, 1, word)
	if err != nil {
		return 0, nil, err
	}
	return binary.NativeEndian.Uint64(b), rest, nil
}

// take cuts n elements of size bytes, not 0, and the padding behind them off src.
func take(src []byte, n, size uint64) (b, rest []byte, err error) {
	if n > uint64(len(src))/size {
		return nil, nil, fmt.Errorf("%d values of %d bytes, but %d bytes are left", n, size, len(src))
	}
	end := n * size
	padded := layout.Align(end, word)
	if padded > uint64(len(src)) {
		return nil, nil, fmt.Errorf("%d bytes and their padding, but %d bytes are left", end, len(src))
	}
	return src[:end], src[padded:], nil
}
