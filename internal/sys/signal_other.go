//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// SIGTERM asks a process to end; no process of this package runs on this system.
var SIGTERM = os.Kill

// SIGXCPU says that a process has used up its CPU time; no process of this package runs on this system.
var SIGXCPU = os.Kill

// Signal returns nil on this system.
func Signal(int) os.Signal { return nil }

// SendSignal fails on this system.
func SendSignal(uintptr, os.Signal) error { return unsupported("send signal") }
