package semaphore

import "sync/atomic"

// Turn returns the word that says whose turn it is, and Claim one of the claims.
func (s *Semaphore) Turn() *atomic.Uint64       { return &s.body.turn }
func (s *Semaphore) Claim(i int) *atomic.Uint64 { return &s.body.claim.word[i] }

// TurnOf is the word of claim i's turn.
func TurnOf(i int) uint64 { return claimed | uint64(i+1) }

// NoTurn is the word while there are claims, after permits were taken so often.
func NoTurn(passed uint64) uint64 { return claimed | passed<<passedShift }

// HasTurn reports whether it is this handle's turn.
func (s *Semaphore) HasTurn() bool { w := s.turns.look(); return turnOf(w) != 0 && s.turns.open(w) }

// Claims reports whether this handle has claimed a turn.
func (s *Semaphore) Claims() bool { return s.turns.stands() }

// Patient makes s respect another's turn however long it lasts.
func (s *Semaphore) Patient() { s.turns.keeps = 1 << 62 }
