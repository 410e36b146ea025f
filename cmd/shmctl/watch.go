package main

import (
	"fmt"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// errEnded says what has become of a pool that is watched.
func errEnded(s *pool.Snapshot) error {
	what := "was closed"
	if s.State == pool.PoolDead {
		what = fmt.Sprintf("has lost its parent, process %d", s.Parent)
	}
	return &exit{exitEnded, fmt.Errorf("pool %q %s", s.Name, what)}
}

// hasEnded reports whether nothing will change any more.
func hasEnded(s *pool.Snapshot) bool { return s.State == pool.PoolClosed || s.State == pool.PoolDead }

// look returns the pool as it is now. If it has other memory, s becomes that. The error says that the pool has ended; the snapshot is
// its last then.
func (s *site) look() (*pool.Snapshot, error) {
	snap, err := s.observer.Snapshot()
	if err != nil {
		return nil, err
	}
	s.correct(snap)
	if snap.State == pool.PoolMoved {
		return s.move(snap)
	}
	if hasEnded(snap) {
		return snap, errEnded(snap)
	}
	return snap, nil
}

// moveTime is how long a pool may take to say where its new memory is.
const moveTime = 10 * time.Second

// move makes s the memory that the pool has now, as soon as that says so.
func (s *site) move(snap *pool.Snapshot) (*pool.Snapshot, error) {
	if next := s.follow(snap); next != nil {
		s.close()
		*s = *next
		return s.first, nil
	}
	if s.left.IsZero() {
		s.left = time.Now()
	}
	if time.Since(s.left) > moveTime {
		return snap, &exit{exitEnded, fmt.Errorf("pool %q has got other memory, which cannot be found", snap.Name)}
	}
	return snap, nil
}

// follow finds the memory that the pool has now.
func (s *site) follow(old *pool.Snapshot) *site {
	all, err := lookAround()
	if err != nil {
		return nil
	}
	var next *site
	for _, other := range all.sites {
		if next == nil && other.first != nil && !other.isOld() && other.first.Parent == old.Parent && other.first.Born.Equal(old.Born) {
			next = other
			continue
		}
		other.close()
	}
	return next
}
