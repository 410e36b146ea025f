//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"encoding/binary"
	"os"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

func init() {
	subjects["things"] = func(name, ready string) error { return withThings(name, ready, func([]byte) {}) }
	subjects["spoilt"] = func(name, ready string) error {
		return withThings(name, ready, func(mem []byte) { binary.NativeEndian.PutUint64(mem[thingsAt[1]+64:], 99) })
	}
	subjects["elder"] = func(name, ready string) error {
		return withThings(name, ready, func(mem []byte) { binary.NativeEndian.PutUint32(mem[8:], layout.Version+1) })
	}
	subjects["begun"] = func(name, ready string) error {
		return withThings(name, ready, func(mem []byte) { clear(mem[:1<<16]) })
	}
}

// thingsAt is where things lie in the segment: a locked mutex, a semaphore, an RWMutex, an MPMC ring.
var thingsAt = []int{0, semaphore.MutexSize, semaphore.MutexSize + semaphore.Size, 40 << 10}

// withThings makes a named segment with some things in it, and spoils them.
func withThings(name, ready string, spoil func([]byte)) error {
	seg, err := shm.Create(name, 64<<10)
	if err != nil {
		return err
	}
	defer shm.Remove(name)
	defer seg.Close()
	mem := seg.Bytes()
	m, err := semaphore.NewMutexAt(mem[thingsAt[0]:])
	if err != nil {
		return err
	}
	if err := m.Lock(context.Background()); err != nil {
		return err
	}
	if _, err := semaphore.NewAt(mem[thingsAt[1]:], 3); err != nil {
		return err
	}
	if _, err := semaphore.NewRWMutexAt(mem[thingsAt[2]:]); err != nil {
		return err
	}
	o := ring.MPMCOptions{Capacity: 4, ItemSize: 8, Participants: 2}
	n, err := ring.MPMCSize(o)
	if err != nil {
		return err
	}
	if err := ring.InitMPMC(mem[thingsAt[3]:][:n], o); err != nil {
		return err
	}
	spoil(mem)
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		return err
	}
	return interrupted(ready)
}
