package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/shmkit/shmkit/pool"
)

// One worker goes and another takes its place, while a third stays.
func TestLook(t *testing.T) {
	before := []pool.WorkerInfo{{Index: 0, Pid: 10, Ready: true}, {Index: 1, Pid: 11, Ready: true}}
	var tr trial
	for i, c := range []struct {
		now  []pool.WorkerInfo
		want trial
	}{
		{before, trial{}},
		{before[:1], trial{pid: 11, goneAfter: 1}},
		{[]pool.WorkerInfo{before[0], {Index: 1, Pid: 12}}, trial{pid: 11, goneAfter: 1}},
		{[]pool.WorkerInfo{before[0], {Index: 1, Pid: 12, Ready: true}}, trial{pid: 11, goneAfter: 1, successor: 12, readyAfter: 3}},
	} {
		tr.look(before, c.now, time.Duration(i))
		assert.Equal(t, c.want, tr, "%d", i)
	}
}

func TestLookOnce(t *testing.T) {
	var tr trial
	tr.look([]pool.WorkerInfo{{Index: 3, Pid: 10, Ready: true}}, []pool.WorkerInfo{{Index: 3, Pid: 11, Ready: true}}, 7)
	assert.Equal(t, trial{pid: 10, goneAfter: 7, successor: 11, readyAfter: 7}, tr)
}
