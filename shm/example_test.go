package shm_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/shmkit/shmkit/shm"
)

// A segment is memory: its bytes are there until Close. A child process gets it as
//
//	cmd.ExtraFiles = []*os.File{s.File()}
//
// and maps it with shm.Attach(os.NewFile(3, "frames")).
func ExampleNew() {
	s, err := shm.New("frames", 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	copy(s.Bytes(), "hello")
	fmt.Println(s.Name(), s.Size(), string(s.Bytes()[:5]))
	// Output: frames 1048576 hello
}

// A watcher finds a segment of a running process in /proc and looks at it
// without being able to change it.
func ExampleAttachReadOnly() {
	s, err := shm.New("counters", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	s.Bytes()[0] = 42

	f, err := os.Open(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.File().Fd()))
	if err != nil {
		log.Fatal(err)
	}
	watched, err := shm.AttachReadOnly(f)
	if err != nil {
		log.Fatal(err)
	}
	defer watched.Close()
	fmt.Println(watched.Name(), watched.Bytes()[0])
	// Output: counters 42
}

// What is reserved cannot fail later for want of memory. Where memory is short, this
// fails instead, and something can be done about it.
func ExampleSegment_Reserve() {
	s, err := shm.New("large", 1<<40) // costs nothing yet
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	err = s.Reserve(0, 1<<20)
	if errors.Is(err, shm.ErrNoMemory) {
		err = s.Reserve(0, 1<<16) // make do with less
	}
	fmt.Println(err)
	// Output: <nil>
}

func ExampleOpenFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "corpus.txt")
	if err := os.WriteFile(path, []byte("in the beginning"), 0o600); err != nil {
		log.Fatal(err)
	}

	f, err := shm.OpenFile(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Size(), string(f.Bytes()[7:]))
	// Output: 16 beginning
}

// Another process gets the reference, by whatever means, and maps the same file, though
// its path is gone by then. Here both are one.
func ExampleFile_Ref() {
	path := filepath.Join(os.TempDir(), fmt.Sprint("example", os.Getpid()))
	if err := os.WriteFile(path, []byte("in the beginning"), 0o600); err != nil {
		log.Fatal(err)
	}
	f, err := shm.OpenFile(path)
	os.Remove(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close() // not before the other has opened it
	ref, err := f.Ref()
	if err != nil {
		log.Fatal(err)
	}

	same, err := shm.OpenRef(ref)
	if err != nil {
		log.Fatal(err)
	}
	defer same.Close()
	fmt.Println(string(same.Bytes()))
	// Output: in the beginning
}

func ExampleView() {
	s, err := shm.New("samples", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	samples, err := shm.View[float64](s.Bytes(), 64, 3)
	if err != nil {
		log.Fatal(err)
	}
	copy(samples, []float64{1, 2.5, 4})

	_, err = shm.View[float64](s.Bytes(), 4090, 1)
	fmt.Println(samples)
	fmt.Println(err)
	// Output:
	// [1 2.5 4]
	// view float64 at offset 4090: 1 values of 8 bytes end behind memory of 4096 bytes
}

func ExampleAt() {
	type progress struct {
		Done  atomic.Uint64 // other processes see each change
		Total uint64
	}
	s, err := shm.New("progress", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	p, err := shm.At[progress](s.Bytes(), 0)
	if err != nil {
		log.Fatal(err)
	}
	p.Total = 10
	p.Done.Add(3)
	fmt.Println(p.Done.Load(), "of", p.Total)

	_, err = shm.At[struct{ Ready bool }](s.Bytes(), 0)
	fmt.Println(err)
	// Output:
	// 3 of 10
	// view struct { Ready bool } at offset 0: struct { Ready bool }.Ready is a bool, which another process can make neither true nor false; use a uint8
}
