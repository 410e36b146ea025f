package main

import (
	"context"

	"github.com/shmkit/shmkit/pool"
)

// A runaway is a function that never returns, and does not look at its context.
type runaway struct {
	what string
	fn   *endless
}

// An endless function gets nothing and gives nothing.
type endless = pool.Function[struct{}, struct{}]

// runaways are all that this build has: inC depends on cgo.
func runaways() []runaway {
	return append([]runaway{{"a loop in Go", loop}}, inC...)
}

var loop = pool.Func("loop", func(context.Context, struct{}) (struct{}, error) {
	for n := 0; ; n++ {
	}
})
