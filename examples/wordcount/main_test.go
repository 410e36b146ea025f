package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/pool"
)

// programEnv makes the test binary the program itself.
const programEnv = "WORDCOUNT_TEST_PROGRAM"

func TestMain(m *testing.M) {
	pool.Main()
	if os.Getenv(programEnv) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	leak.Main(m, "github.com/shmkit/shmkit/process.spawnLoop")
}

func mkfifo(t *testing.T, path string) {
	t.Helper()
	out, err := exec.Command("mkfifo", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
