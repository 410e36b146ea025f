//go:build linux && amd64

package singlestep

// ToTheEnd returns a walk that lets the operation end.
func ToTheEnd() *Walk { return &Walk{point: -1} }
