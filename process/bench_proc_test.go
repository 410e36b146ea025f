//go:build linux && (amd64 || arm64)

package process_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

var oneByte = process.NewEntry("one byte", func(files []*os.File) {
	files[0].Write([]byte{1})
	select {}
})

func firstByte() {
	os.NewFile(3, "pipe").Write([]byte{1})
	select {}
}

// BenchmarkStart measures the time from the start of a child to the first byte that
// it sends. Start executes the binary twice, os/exec once.
func BenchmarkStart(b *testing.B) {
	b.Run("process", func(b *testing.B) {
		benchmarkFirstByte(b, func(w *os.File) func() {
			p, err := oneByte.Start(process.Options{Files: []*os.File{w}})
			require.NoError(b, err)
			return func() { _ = p.Kill(); <-p.Done() }
		})
	})
	b.Run("exec", func(b *testing.B) {
		benchmarkFirstByte(b, func(w *os.File) func() {
			cmd := program(b, "first byte")
			cmd.ExtraFiles = []*os.File{w}
			require.NoError(b, cmd.Start())
			return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		})
	})
}

func benchmarkFirstByte(b *testing.B, start func(w *os.File) (end func())) {
	for range b.N {
		r, w, err := os.Pipe()
		require.NoError(b, err)
		end := start(w)
		_, err = r.Read(make([]byte, 1))
		b.StopTimer()
		require.NoError(b, err)
		end()
		r.Close()
		w.Close()
		b.StartTimer()
	}
}
