package pool

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// Retries lets a task begin again, up to n times, when a worker dies while it runs it: in place of Options.Retries. Such a task
// may run more than once; it gets copies of its slices, because the originals are needed again. A task that has been
// given a [Block] is not retried: the dead may have changed it. Nor is one that was ended because of its context or its
// time. When all retries are used up, [WorkerDiedError] has all deaths.
func Retries(n int) CallOption {
	if n < 0 {
		panic(fmt.Sprintf("pool: Retries(%d): it must not be negative", n))
	}
	return func(c *callConfig) { c.retries = n + 1 }
}

// tries is how often the function's tasks may begin again.
func (p *Pool) tries(asked int) int {
	if asked > 0 {
		return asked - 1
	}
	return p.opts.Retries
}

// retry queues the task in slot i again, whose worker has died, if it may be. The caller holds mu.
func (p *Pool) retry(i uint32, died *WorkerDiedError) bool {
	e := &p.entries[i]
	pr := e.task
	switch {
	case e.retries == 0 || pr == nil || pr.part() != nil || e.expired:
		return false
	case e.cargo != nil && len(e.cargo.moved) > 0:
		return false
	case p.phase >= stopping || p.broken != nil:
		return false
	}
	e.retries--
	p.tallies.Add(telemetry.Retried, 1)
	e.ordeal = &ordeal{deaths: append(e.deaths(), e.death(died, 0))}
	p.restart(i)
	return true
}
