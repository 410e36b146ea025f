package pool

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// Stats is what a pool has done, as numbers that do not change any more.
type Stats struct {
	Workers     int    // that are ready
	Outstanding int    // tasks accepted and not yet ended
	Accepted    uint64 // tasks, ever
	Succeeded   uint64 // with a result that somebody still wanted
	Failed      uint64 // with an error, a panic, a dead worker, or because of the pool's end or its memory
	Cancelled   uint64 // because their context ended or their time was up
	Dropped     uint64 // of those that failed, by Terminate or the end of CloseContext's context
	Started     uint64 // worker processes, those included that could not be made
	Deaths      uint64 // of workers, also of those killed because of their task; but not by retiring, nor with the pool or its memory
	Rebuilds    uint64 // times that the pool got new memory
}

// Stats returns a snapshot, all numbers of one moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := p.tallies.Value
	s := Stats{Outstanding: p.outstanding, Accepted: count(telemetry.Accepted), Succeeded: count(telemetry.Succeeded),
		Failed: count(telemetry.Failed), Cancelled: count(telemetry.Cancelled), Dropped: count(telemetry.Dropped),
		Started: count(telemetry.Started), Deaths: count(telemetry.Deaths), Rebuilds: count(telemetry.Rebuilds)}
	for _, m := range p.members {
		if m.isReady {
			s.Workers++
		}
	}
	return s
}

// Memory says what is in the pool's memory: blocks, and the arguments and results that are too large for a slot. It looks at
// every part of it that was ever used. After Close it is zero.
func (p *Pool) Memory() shm.ArenaStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == gone {
		return shm.ArenaStats{}
	}
	return p.store.Stats()
}

// Sub returns what happened between an earlier snapshot and this one; Workers and Outstanding
// are this one's.
func (s Stats) Sub(earlier Stats) Stats {
	s.Accepted -= earlier.Accepted
	s.Succeeded -= earlier.Succeeded
	s.Failed -= earlier.Failed
	s.Cancelled -= earlier.Cancelled
	s.Dropped -= earlier.Dropped
	s.Started -= earlier.Started
	s.Deaths -= earlier.Deaths
	s.Rebuilds -= earlier.Rebuilds
	return s
}

func (s Stats) String() string {
	return fmt.Sprintf("%d workers, %d outstanding; %d accepted, %d succeeded, %d failed, %d cancelled; %d started, %d died; rebuilt %d times",
		s.Workers, s.Outstanding, s.Accepted, s.Succeeded, s.Failed, s.Cancelled, s.Started, s.Deaths, s.Rebuilds)
}

// WorkerInfo describes one worker process.
type WorkerInfo struct {
	Index int // its place, kept by its replacement
	Pid   int
	Ready bool // has started up
}

// Workers lists the worker processes that live at this moment.
func (p *Pool) Workers() []WorkerInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	var infos []WorkerInfo
	for _, m := range p.members {
		if m.proc != nil {
			infos = append(infos, WorkerInfo{Index: m.index, Pid: m.proc.Pid(), Ready: m.isReady})
		}
	}
	return infos
}
