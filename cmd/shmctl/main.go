// Shmctl shows what the pools of this machine are doing, and why they are slow or stuck.
//
// It finds them through /proc, reads what they say of themselves in their memory, and neither stops nor slows anything.
//
//	CGO_ENABLED=0 go install github.com/shmkit/shmkit/cmd/shmctl@latest
//	shmctl ls
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/shmkit/shmkit/pool"
)

func main() {
	pool.Main() // the workers of demo are this program
	os.Exit(run())
}

// run runs the command that the arguments name.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	sh := &shell{out: os.Stdout, notes: os.Stderr}
	root := newRoot(sh)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	code := codeOf(err)
	if err.Error() != "" {
		sh.note("%v", err)
	}
	if code == exitUsage {
		fmt.Fprintf(os.Stderr, "Try '%s --help'.\n", cmd.CommandPath())
	}
	return code
}
