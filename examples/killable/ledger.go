package main

import (
	"fmt"
	"slices"
)

// A ledger has the numbers that the workers gave to their tasks, by worker.
type ledger map[uint64][]int

func (l ledger) book(answers []answer) {
	for _, a := range answers {
		l[a.Worker] = append(l[a.Worker], a.Nth)
	}
}

// check says whether each task ran once and was answered once. Each worker counts what it runs, from 1 on: a task that ran a second
// time, or whose answer was lost, is a number that is missing, and an answer that came twice is one that is there twice.
func (l ledger) check(tasks uint64) error {
	booked := uint64(0)
	for worker, nths := range l {
		slices.Sort(nths)
		for i, nth := range nths {
			if nth != i+1 {
				return fmt.Errorf("worker %x: of the answers to its tasks, number %d was followed by number %d", worker, i, nth)
			}
		}
		booked += uint64(len(nths))
	}
	if booked != tasks {
		return fmt.Errorf("there were %d small tasks, and %d answers", tasks, booked)
	}
	return nil
}
