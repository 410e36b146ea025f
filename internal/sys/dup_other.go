//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// Dup fails on this system.
func Dup(*os.File) (*os.File, error) { return nil, unsupported("duplicate descriptor") }
