package main

import (
	"testing"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/process"
)

func TestMain(m *testing.M) {
	process.Main()
	leak.Main(m, "github.com/shmkit/shmkit/process.spawnLoop")
}
