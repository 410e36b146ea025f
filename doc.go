// Package shmkit is the root of a toolkit with which a Go program spreads work over
// child processes that are called like functions and share memory with their parent.
// It holds no code itself. Most programs need [github.com/shmkit/shmkit/pool] alone;
// the packages below it are for those who build something of their own.
//
//	pool        workers that run typed tasks, supervised
//	process     one child process: start, wait, kill; what it shares with its parent
//	ring        queues and pipes between processes; lock-free rings over any []byte
//	semaphore   futex-based locks over any []byte
//	shm         shared memory segments and typed views of them
//	internal/…  codec, owner, backoff, layout, sys: values to bytes, who is alive,
//	            waiting, checked access, system calls
//
// The packages are a staircase: each imports only what stands below it. The tests of
// this package see to that, and to what else holds for the module as a whole.
//
// Linux on amd64 or arm64 is needed. Elsewhere everything compiles, and what makes
// shared memory or processes returns an error that wraps [errors.ErrUnsupported].
package shmkit
