package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmkit/shmkit/internal/layout"
)

// MakeResult returns a slice of n values for a result. Where a task returns it, as its result or as a field of that, whole or cut
// short, it is copied once, by the parent; any other slice is copied twice. ctx is the task's context, or one derived from
// it; the slice is valid until the task ends. Its values are whatever the memory was last used for. Outside
// of a task it is a slice like any other.
//
// Values of type T must be free of pointers, bools and locks: it panics otherwise.
func MakeResult[T any](ctx context.Context, n int) ([]T, error) {
	size := blockBytes[T](n)
	if size < 0 {
		return nil, fmt.Errorf("make result of %d values: %w", n, errBadLength)
	}
	w, task, err := runningTask(ctx)
	if errors.Is(err, errNoTask) || err == nil && size <= nearBytes {
		return make([]T, n), nil
	}
	if err == nil {
		var b []byte
		if b, err = w.hold.lend(ctx, task, size); err == nil {
			return layout.MustSlice[T](b, 0, n), nil
		}
	}
	return nil, fmt.Errorf("make result of %d bytes: %w", size, err)
}

func (h *holdings) lend(ctx context.Context, task int, size int64) ([]byte, error) {
	b, _, err := h.allocate(ctx, size)
	if err != nil {
		return nil, err
	}
	if err := h.enter(task); err != nil {
		h.w.free(b)
		return nil, err
	}
	defer h.mu.Unlock()
	data := h.w.store.Bytes(b)[:size]
	h.lent = append(h.lent, lentBlock{block: b, data: data})
	return data, nil
}
