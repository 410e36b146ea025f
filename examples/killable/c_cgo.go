//go:build linux && cgo

package main

/*
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

// wait_forever blocks in the kernel, as a read from a dead server does.
static void wait_forever(void) {
	for (;;)
		pause();
}

// spin_forever lets no signal through to its thread: not those either by which the Go runtime interrupts a goroutine.
static void spin_forever(void) {
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (volatile unsigned long n = 0;; n++) {
	}
}
*/
import "C"

import (
	"context"

	"github.com/shmkit/shmkit/pool"
)

// noC says why nothing in C is tried.
const noC = ""

var inC = []runaway{
	{"a C call that waits", pool.Func("wait in C", func(context.Context, struct{}) (struct{}, error) {
		C.wait_forever()
		return struct{}{}, nil
	})},
	{"a C loop, signals blocked", pool.Func("spin in C", func(context.Context, struct{}) (struct{}, error) {
		C.spin_forever()
		return struct{}{}, nil
	})},
}
