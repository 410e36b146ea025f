//go:build !linux || !(amd64 || arm64)

package sys

import (
	"errors"
	"fmt"
	"runtime"
)

// unsupported is what constructors return where shmkit cannot run.
func unsupported(op string) error {
	return fmt.Errorf("%s: shmkit needs linux on amd64 or arm64, this is %s/%s: %w",
		op, runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
}
