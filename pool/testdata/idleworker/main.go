// Idleworker is a minimal program with a pool of as many workers as its argument says: it
// runs some tasks, says so, and then does nothing until its standard input ends.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"

	"github.com/shmkit/shmkit/pool"
)

var increment = pool.Func("increment", func(_ context.Context, x int) (int, error) { return x + 1, nil })

func main() {
	pool.Main()
	workers, err := strconv.Atoi(os.Args[1])
	check(err)
	p, err := pool.New(pool.Options{Workers: workers})
	check(err)
	for x := range 10_000 {
		_, err := increment.Call(context.Background(), p, x)
		check(err)
	}
	fmt.Println("idle")
	_, err = io.Copy(io.Discard, os.Stdin)
	check(err)
	check(p.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
