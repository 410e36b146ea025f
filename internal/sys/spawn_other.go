//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// Spawn fails on this system.
func Spawn(Command) (int, *os.File, error) { return 0, nil, unsupported("start process") }

// Reap fails on this system.
func Reap(int) (Exit, error) { return Exit{Code: -1}, unsupported("wait for process") }

// Exec fails on this system.
func Exec(string, []string, []string) error { return unsupported("exec") }
