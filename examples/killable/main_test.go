package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/pool"
)

// programEnv makes the test binary the program itself. Its value marks the program's processes.
const programEnv = "KILLABLE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	pool.Main()
	if os.Getenv(programEnv) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	leak.Main(m, "github.com/shmkit/shmkit/process.spawnLoop")
}

func start(t *testing.T, o pool.Options) *pool.Pool {
	t.Helper()
	p, err := pool.New(o)
	require.NoError(t, err)
	t.Cleanup(p.Terminate)
	return p
}
