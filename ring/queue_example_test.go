package ring_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/shmkit/shmkit/ring"
)

// Any number of processes put and get; here they are goroutines. The queue travels to a child as a field of its arguments.
func ExampleQueue() {
	type job struct {
		Name  string
		Parts []int
	}
	q, err := ring.NewQueue[job](ring.QueueOptions{Capacity: 16})
	if err != nil {
		panic(err)
	}
	defer q.Close()
	ctx := context.Background()
	var producers sync.WaitGroup
	defer producers.Wait() // before Close: it may still be in CloseSend when the end is seen
	producers.Go(func() {
		for i := range 3 {
			if err := q.Put(ctx, job{Name: "sum", Parts: []int{i, 10 * i}}); err != nil {
				panic(err)
			}
		}
		if err := q.CloseSend(); err != nil {
			panic(err)
		}
	})
	for {
		j, err := q.Get(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(j.Name, j.Parts[0]+j.Parts[1])
	}
	// Output:
	// sum 0
	// sum 11
	// sum 22
}

// Items are written and read in the ring's own memory, several with one claim.
func ExampleMPMC() {
	o := ring.MPMCOptions{Capacity: 8, ItemSize: 8}
	size, err := ring.MPMCSize(o)
	if err != nil {
		panic(err)
	}
	mem := make([]byte, size) // or a mapping that the processes share
	if err := ring.InitMPMC(mem, o); err != nil {
		panic(err)
	}
	m, err := ring.AttachMPMC(mem)
	if err != nil {
		panic(err)
	}
	defer m.Detach()
	run, ok, err := m.Reserve(3)
	if err != nil || !ok {
		panic(err) // a program would wait if the ring is full
	}
	for i := range run.Len() {
		binary.NativeEndian.PutUint64(m.Slot(run, i), uint64(i+1))
	}
	if err := m.Commit(run); err != nil {
		panic(err)
	}
	run, ok, err = m.Take(8)
	if err != nil || !ok {
		panic(err)
	}
	for i := range run.Len() {
		fmt.Println(binary.NativeEndian.Uint64(m.Slot(run, i)))
	}
	if err := m.Release(run); err != nil {
		panic(err)
	}
	// Output:
	// 1
	// 2
	// 3
}
