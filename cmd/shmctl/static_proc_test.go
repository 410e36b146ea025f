//go:build linux && (amd64 || arm64)

package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What README tells people to install needs nothing of the machine on which it is to run.
func TestBinaryIsStatic(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "shmctl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	file, err := elf.Open(binary)
	require.NoError(t, err)
	defer file.Close()
	for _, part := range file.Progs {
		require.NotEqual(t, elf.PT_INTERP, part.Type, "it asks for a dynamic linker")
	}
}
