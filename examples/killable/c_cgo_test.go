//go:build linux && cgo

package main

const (
	// endlessC is how many runaways in C this build has.
	endlessC = 2

	// saysNoC is whether it says that it has none.
	saysNoC = false
)
