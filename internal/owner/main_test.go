package owner

import (
	"io"
	"os"
	"testing"

	"github.com/shmkit/shmkit/internal/leak"
)

// waiterEnv makes the test binary a process that ends when its standard input does.
const waiterEnv = "OWNER_TEST_WAITER"

// programs are what the test binary is if the environment has a value for their names.
var programs = map[string]func(value string){
	waiterEnv: func(string) { _, _ = io.Copy(io.Discard, os.Stdin) },
}

func TestMain(m *testing.M) {
	for name, run := range programs {
		if value := os.Getenv(name); value != "" {
			run(value)
			return
		}
	}
	leak.Main(m)
}
