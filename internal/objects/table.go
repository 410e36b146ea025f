package objects

import (
	"encoding/binary"
	"fmt"
	"os"
)

// An item says where an object lies: in which file, and what its type has to add.
type item struct {
	file int
	data []byte
}

// encode returns the table: file, length and bytes of each.
func encode(items []item) (table []byte) {
	for _, it := range items {
		table = binary.AppendUvarint(table, uint64(it.file))
		table = binary.AppendUvarint(table, uint64(len(it.data)))
		table = append(table, it.data...)
	}
	return table
}

// decode is the reverse, and trusts nothing.
func decode(table []byte, files int) (items []item, err error) {
	for rest := table; len(rest) > 0; {
		var file, n uint64
		if file, rest, err = take(rest); err != nil {
			return nil, err
		}
		if n, rest, err = take(rest); err != nil {
			return nil, err
		}
		if file >= uint64(files) || n > uint64(len(rest)) {
			return nil, fmt.Errorf("item %d: file %d of %d, %d bytes of %d: %w", len(items), file, files, n, len(rest), os.ErrInvalid)
		}
		items = append(items, item{int(file), rest[:n:n]})
		rest = rest[n:]
	}
	return items, nil
}

func take(b []byte) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, fmt.Errorf("table is cut short: %w", os.ErrInvalid)
	}
	return n, b[size:], nil
}
