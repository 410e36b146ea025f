package backoff

import "time"

// A Spin has one look, or none.
type Spin struct{ left int }

func For(budget time.Duration) Spin { return Spin{int(min(budget, 1))} }

func (s *Spin) Once() bool {
	s.left--
	return s.left >= 0
}

func (s *Spin) Long(time.Duration) bool { return s.Once() }

func Pause(time.Duration) {}
