package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// queue are the tasks that no worker has begun.
type queue struct {
	Pool  string        `json:"pool"`
	Tasks []waitingLine `json:"waiting"`
}

type waitingLine struct {
	ID       string        `json:"id"`
	Function string        `json:"function"`
	Items    uint64        `json:"items"`
	For      time.Duration `json:"for_ns,omitempty"` // 0: not known
}

// queueOf lists those first that have waited for the longest time.
func queueOf(s *site) (queue, error) {
	all, err := s.observer.Waiting()
	slices.SortFunc(all, func(a, b pool.WaitingTask) int { return cmp.Or(cmp.Compare(b.For, a.For), cmp.Compare(a.ID, b.ID)) })
	q := queue{Pool: s.name(), Tasks: []waitingLine{}}
	for _, t := range all {
		q.Tasks = append(q.Tasks, waitingLine{fmt.Sprintf("%#x", t.ID), t.Function, t.Items, t.For})
	}
	return q, err
}

func (q queue) tables(bool) []table {
	t := table{header: []string{"TASK", "FUNCTION", "ITEMS", "WAITS FOR"}}
	for _, w := range q.Tasks {
		long := "-"
		if w.For > 0 {
			long = timeOf(w.For)
		}
		t.add(w.ID, w.Function, countOf(w.Items), long)
	}
	return []table{t}
}
