package backoff

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSpinEnds(t *testing.T) {
	s := For(10 * time.Microsecond)
	looks := 0
	for s.Once() {
		looks++
	}
	assert.Positive(t, looks)
	assert.False(t, s.Once(), "a spent budget stays spent")
}

func TestNoBudgetMeansNoSpin(t *testing.T) {
	s := For(0)
	assert.False(t, s.Once())
}

// A budget is time: at least half of it passes, whatever a pause costs here.
func TestBudgetIsTime(t *testing.T) {
	const budget = time.Millisecond
	longest := time.Duration(0) // the processor may be faster at times than when a pause was measured
	for range 10 {
		s := For(budget)
		start := time.Now()
		for s.Once() {
		}
		longest = max(longest, time.Since(start))
	}
	assert.Greater(t, longest, budget/2)
}

// Long pauses are charged to the same budget.
func TestLongPausesCount(t *testing.T) {
	s := For(10 * time.Microsecond)
	long := 0
	for s.Long(time.Microsecond) {
		long++
	}
	assert.Positive(t, long)
	assert.LessOrEqual(t, long, 11)
	assert.False(t, s.Once())
}
