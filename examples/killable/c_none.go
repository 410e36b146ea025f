//go:build !linux || !cgo

package main

// noC says why nothing in C is tried.
const noC = "calls of C were not tried: this build has no cgo, which takes CGO_ENABLED=1 and a C compiler"

var inC []runaway
