//go:build !linux || !(amd64 || arm64)

package process_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/shmkit/shmkit/process"
)

var nothing = process.NewEntry("nothing", func([]*os.File) {})

func TestMain(m *testing.M) {
	process.Main()
	os.Exit(m.Run())
}

func TestStartIsUnsupported(t *testing.T) {
	p, err := nothing.Start(process.Options{})
	assert.Nil(t, p)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
}
