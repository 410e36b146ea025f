package main

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestProgram builds the program and runs it as its users do.
func TestProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sum")
	build := exec.Command("go", "build", "-o", program, ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	run := exec.CommandContext(ctx, program)
	run.Stdout, run.Stderr = &stdout, &stderr
	require.NoError(t, run.Run(), "%s", &stderr)
	assert.Equal(t, "Sum: 500500\n", stdout.String())
	assert.Empty(t, stderr.String())
}
