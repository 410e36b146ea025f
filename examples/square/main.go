// Square is the smallest program that has worker processes.
//
//	go run ./examples/square
//
// A function that is to run in workers is declared with pool.Func, as a package-level
// variable: the workers are this same program, started again, and so register the same
// functions. pool.Main is where they turn off: it serves tasks in a worker and returns
// at once in the program itself. From then on square is called like any function: with
// Call for one result now, with Go for one later, with Map for many.
package main

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/shmkit/shmkit/pool"
)

var square = pool.Func("square", func(ctx context.Context, x int) (int, error) { return x * x, nil })

func main() {
	pool.Main() // in a worker: serve and never return

	p, err := pool.New(pool.Options{}) // one worker per CPU
	check(err)
	defer p.Close() // finish what was accepted, then stop

	ctx := context.Background()
	y, err := square.Call(ctx, p, 12) // run it, wait
	check(err)
	fmt.Println("Call:", y)

	f, err := square.Go(ctx, p, 13) // start it
	check(err)
	y, err = f.Wait(ctx) // do something else, then wait
	check(err)
	fmt.Println("Go:", y)

	for y, err := range square.Map(ctx, p, slices.Values([]int{1, 2, 3, 4, 5})) { // in order
		check(err)
		fmt.Println("Map:", y)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err) // the workers end with this process, whatever its end
	}
}
