// Sum adds numbers up in two child processes, which get them through a queue and answer through pipes.
//
//	go run ./examples/sum
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"strconv"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

type work struct {
	Numbers *ring.Queue[int] // shared: the same queue in every process
	Answer  *ring.PipeEnd    // moved: this child's alone
}

var sum = process.Func("sum", func(ctx context.Context, w work) error {
	total := 0
	for {
		n, err := w.Numbers.Get(ctx)
		if err == io.EOF { // nobody puts any more, and all were taken
			return w.Answer.Send(ctx, []byte(strconv.Itoa(total)))
		}
		if err != nil {
			return err
		}
		total += n
	}
})

func main() {
	process.Main() // in a child: run its function and never return

	ctx := context.Background()
	numbers, err := ring.NewQueue[int](ring.QueueOptions{})
	check(err)
	var answers []*ring.PipeEnd
	for range 2 {
		mine, theirs, err := ring.NewPipe(ring.PipeOptions{})
		check(err)
		_, err = sum.Start(process.Options{}, work{numbers, theirs})
		check(err)
		answers = append(answers, mine)
	}

	for n := range 1001 {
		check(numbers.Put(ctx, n)) // waits while the queue is full
	}
	check(numbers.CloseSend())

	total := 0
	for _, a := range answers {
		text, err := a.Recv(ctx) // io.EOF if the child has died
		check(err)
		n, err := strconv.Atoi(string(text))
		check(err)
		total += n
	}
	fmt.Println("Sum:", total)
}

func check(err error) {
	if err != nil {
		log.Fatal(err) // the children end with this process, whatever its end
	}
}
