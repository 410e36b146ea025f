package main

import (
	"context"
	"errors"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// A recording is what has happened in a pool.
type recording struct {
	pool    *pool.Snapshot // at the end
	parent  track
	workers map[int]*track // by place
	samples []sample
	events  int
}

// A track is the events of one party.
type track struct {
	events []pool.Event
	missed uint64 // overwritten before they were read
	player *pool.Player
}

// A sample is how the pool stood at a moment.
type sample struct {
	at                        time.Time
	waiting, running, serving int
	outstanding               uint64
	memory                    int64
}

const (
	playEvery   = 10 * time.Millisecond
	sampleEvery = 10 // plays

	// mostEvents bounds how many are kept, about 200 bytes each.
	mostEvents = 1 << 20
)

var errTooMuch = errors.New("there are too many events to keep: this is what happened first")

// record plays a pool's events for so long, those before included; for no time, those that are still there. What it returns is good whatever the
// error says.
func (s *site) record(ctx context.Context, length time.Duration) (*recording, error) {
	r := &recording{pool: s.first, workers: map[int]*track{}}
	tick := time.NewTicker(playEvery)
	defer tick.Stop()
	for end, n := time.Now().Add(length), 0; ; n++ {
		var ended error
		if n%sampleEvery == 0 {
			old := s.observer
			snap, err := s.look()
			if snap == nil {
				return r, err
			}
			if s.observer != old {
				r.rewind()
			}
			ended = err
			r.sample(snap)
		}
		if err := r.play(s.observer); err != nil {
			return r, err
		}
		if ended != nil || ctx.Err() != nil || !time.Now().Before(end) {
			return r, ended
		}
		if r.events >= mostEvents {
			return r, errTooMuch
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// rewind forgets the players: the pool has other memory.
func (r *recording) rewind() {
	r.parent.player = nil
	for _, t := range r.workers {
		t.player = nil
	}
}

func (r *recording) sample(snap *pool.Snapshot) {
	serving := 0
	for _, w := range snap.Workers {
		if w.State == "serving" {
			serving++
		}
		if r.workers[w.Place] == nil {
			r.workers[w.Place] = new(track)
		}
	}
	r.pool = snap
	r.samples = append(r.samples, sample{snap.Taken, snap.Queue.Waiting, snap.Queue.Running + snap.Queue.Stopping, serving, snap.Outstanding, snap.Memory.Blocks})
}

func (r *recording) play(o *pool.Observer) error {
	if err := r.playOne(&r.parent, o.ParentEvents); err != nil {
		return err
	}
	for place, t := range r.workers {
		if err := r.playOne(t, func() (*pool.Player, error) { return o.WorkerEvents(place) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *recording) playOne(t *track, open func() (*pool.Player, error)) (err error) {
	if t.player == nil {
		if t.player, err = open(); err != nil {
			return err
		}
	}
	events, missed, err := t.player.Next()
	if err != nil {
		return err
	}
	t.events = append(t.events, events...)
	t.missed += missed
	r.events += len(events)
	return nil
}

// untold is how many tasks and items have run of which there is no event.
func (r *recording) untold() (n uint64) {
	for _, t := range r.workers {
		for _, e := range t.events {
			n += e.Untold
		}
	}
	return n
}

func (r *recording) missed() uint64 {
	n := r.parent.missed
	for _, t := range r.workers {
		n += t.missed
	}
	return n
}

// span returns the first and the last moment of which something is known.
func (r *recording) span() (first, last time.Time) {
	first, last = r.pool.Taken, r.pool.Taken
	see := func(begin, end time.Time) {
		if begin.Before(first) {
			first = begin
		}
		if end.After(last) {
			last = end
		}
	}
	for _, t := range append([]*track{&r.parent}, r.tracks()...) {
		for _, e := range t.events {
			see(e.Begin, e.End)
		}
	}
	for _, one := range r.samples {
		see(one.at, one.at)
	}
	for _, w := range r.pool.Workers {
		if w.Task != nil {
			see(w.Task.Since, w.Task.Since)
		}
	}
	return first, last
}

func (r *recording) tracks() (all []*track) {
	for _, t := range r.workers {
		all = append(all, t)
	}
	return all
}
