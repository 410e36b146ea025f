//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// HasData reports true on this system, which cannot tell.
func HasData(*os.File, int64, int64) bool { return true }
