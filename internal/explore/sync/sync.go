// Package sync stands in for the standard library's in files of the module that are built for an exploration, where goroutines of one
// process are processes of the exploration's own and a real lock would stop it.
package sync

import (
	"sync"

	"github.com/shmkit/shmkit/internal/explore"
)

// What is not stood in for.
type (
	Cond      = sync.Cond
	Locker    = sync.Locker
	Once      = sync.Once
	Pool      = sync.Pool
	WaitGroup = sync.WaitGroup
)

// A Mutex is a sync.Mutex.
type Mutex struct {
	mu   sync.Mutex
	lock explore.Lock
}

func (m *Mutex) Lock() {
	if !m.lock.Lock() {
		m.mu.Lock()
	}
}

func (m *Mutex) TryLock() bool {
	ok, explored := m.lock.TryLock()
	if explored {
		return ok
	}
	return m.mu.TryLock()
}

func (m *Mutex) Unlock() {
	if !m.lock.Unlock() {
		m.mu.Unlock()
	}
}

// OnceFunc is sync.OnceFunc.
func OnceFunc(f func()) func() { return sync.OnceFunc(f) }

// OnceValue is sync.OnceValue.
func OnceValue[T any](f func() T) func() T { return sync.OnceValue(f) }
