package ring_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/shmkit/shmkit/ring"
)

// Records are written and read in the ring's own memory. Between processes the memory
// is a shared mapping; nothing else changes.
func ExampleProducer_Reserve() {
	mem := make([]byte, ring.SPSCSize(1<<10))
	if err := ring.InitSPSC(mem); err != nil {
		panic(err)
	}
	p, err := ring.AttachProducer(mem)
	if err != nil {
		panic(err)
	}
	for _, word := range []string{"three", "records,", "one batch"} {
		b, ok, err := p.Reserve(len(word))
		if err != nil {
			panic(err)
		}
		if !ok {
			panic("the ring is full") // a program would wait for the consumer
		}
		copy(b, word)
	}
	p.Commit()

	c, err := ring.AttachConsumer(mem)
	if err != nil {
		panic(err)
	}
	for {
		b, ok, err := c.Peek()
		if err != nil {
			panic(err)
		}
		if !ok {
			break
		}
		fmt.Println(string(b))
	}
	c.Release()
	// Output:
	// three
	// records,
	// one batch
}

// Small records of equal size are cheapest as a run.
func ExampleConsumer_PeekRun() {
	mem := make([]byte, ring.SPSCSize(1<<10))
	if err := ring.InitSPSC(mem); err != nil {
		panic(err)
	}
	p, err := ring.AttachProducer(mem)
	if err != nil {
		panic(err)
	}
	b, ok, err := p.ReserveRun(4, 8)
	if err != nil || !ok {
		panic("no room in an empty ring")
	}
	for i := range uint64(4) {
		binary.NativeEndian.PutUint64(b[8*i:], i*i)
	}
	p.Commit()

	c, err := ring.AttachConsumer(mem)
	if err != nil {
		panic(err)
	}
	b, size, ok, err := c.PeekRun()
	if err != nil || !ok {
		panic("nothing there")
	}
	for ; len(b) > 0; b = b[size:] {
		fmt.Println(binary.NativeEndian.Uint64(b))
	}
	c.Release()
	// Output:
	// 0
	// 1
	// 4
	// 9
}

// Both ends of a pipe may be in one process; usually one of them is a field of a child's arguments.
func ExampleNewPipe() {
	a, b, err := ring.NewPipe(ring.PipeOptions{})
	if err != nil {
		panic(err)
	}
	defer b.Close()
	ctx := context.Background()
	for _, msg := range []string{"one", "", "three"} {
		if err := a.Send(ctx, []byte(msg)); err != nil {
			panic(err)
		}
	}
	if err := a.Close(); err != nil {
		panic(err)
	}
	for {
		msg, err := b.Recv(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(err)
		}
		fmt.Printf("%q\n", msg)
	}
	// Output:
	// "one"
	// ""
	// "three"
}

// A reader that is too slow learns how much it has missed.
func ExampleBroadcastReader_Next() {
	const records, size = 4, 8
	mem := make([]byte, ring.BroadcastSize(records, size))
	if err := ring.InitBroadcast(mem, records, size); err != nil {
		panic(err)
	}
	w, err := ring.AttachBroadcastWriter(mem)
	if err != nil {
		panic(err)
	}
	r, err := ring.AttachBroadcastReader(mem)
	if err != nil {
		panic(err)
	}
	for i := range uint64(6) {
		w.Write(binary.NativeEndian.AppendUint64(nil, i))
	}
	for rec, missed, ok := r.Next(); ok; rec, missed, ok = r.Next() {
		fmt.Println(binary.NativeEndian.Uint64(rec), "after", missed)
	}
	// Output:
	// 2 after 2
	// 3 after 0
	// 4 after 0
	// 5 after 0
}
