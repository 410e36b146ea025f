//go:build linux && (amd64 || arm64)

package process_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

// look prints whether this child was executed again, and what programs that it starts would inherit.
var look = process.NewEntry("look", func([]*os.File) {
	again := strings.Contains(readFile("/proc/self/environ"), "\x00SHMKIT_ENTRY=")
	fmt.Println(again, len(withoutCloexec())-3)
})

// looks starts children that look: one as it is, one after C code has opened a file, and one with a limit.
func looks() {
	run := func(limits ...process.Limit) {
		p := value(look.Start(process.Options{Limits: limits}))
		if err := p.Wait(context.Background()); err != nil {
			fmt.Println(err)
		}
	}
	run()
	value(syscall.Open("/proc/version", syscall.O_RDONLY, 0))
	run()
	run(process.Limit{Resource: syscall.RLIMIT_CORE})
}

// A child closes what its parent has inherited and had when it started its first child. The program
// is executed again if there is more than that, or a limit; nothing comes through in either case.
func TestChildIsExecutedAgainOnlyIfNeeded(t *testing.T) {
	cmd := program(t, "looks")
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null, null, null, null, null, null, null, null}
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "false 0\ntrue 0\ntrue 0\n", string(out))
}
