package pool

import (
	"fmt"
	"time"
)

// A WaitingTask is one that no worker has begun.
type WaitingTask struct {
	ID       uint64 // as in [RunningTask]
	Function string
	Items    uint64        // of a chunk; 1
	For      time.Duration // for how long it has waited, 0 if that is not known
}

// Waiting returns the tasks that wait, in no order.
func (o *Observer) Waiting() (all []WaitingTask, err error) {
	now := o.now()
	err = o.eachSlot(func(i uint32, s *slot, stamp int64) error {
		w := word(s.word.Load())
		if w.state() != queued {
			return nil
		}
		t := WaitingTask{ID: uint64(makeTaskID(i, w.gen())), Function: o.function(s.fn), Items: 1}
		if s.argKind == chunked {
			t.Items = s.argLen
		}
		if s.stamped == 1 {
			t.For = time.Duration(max(now-stamp, 0))
		}
		all = append(all, t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("observe pool: %w", err)
	}
	return all, nil
}
