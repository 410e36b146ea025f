//go:build !linux || !(amd64 || arm64)

package pool

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnsupported(t *testing.T) {
	p, err := New(Options{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.Nil(t, p)
}
