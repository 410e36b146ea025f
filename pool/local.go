package pool

import "sync"

// A LocalValue is one value per worker process: see [Local].
type LocalValue[T any] struct {
	mu    sync.Mutex
	made  bool
	value T
	make  func() (T, error)
}

// Local declares a value that each worker makes once, at its first use: a model, a
// connection, a cache. Declare it at package level. To have it made before the first
// task, use it in Options.Init.
func Local[T any](make func() (T, error)) *LocalValue[T] {
	return &LocalValue[T]{make: make}
}

// Get returns this process's value, made by the first call. If making it fails, Get
// returns the error, and the next Get tries again. It is safe for concurrent use.
func (l *LocalValue[T]) Get() (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.made {
		v, err := l.make()
		if err != nil {
			return v, err
		}
		l.value, l.made = v, true
	}
	return l.value, nil
}
