package shm_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/shmkit/shmkit/shm"
)

// A segment is memory: its bytes are there until Close. A child of package process gets it among its arguments, one of package os/exec
// as
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

// Unrelated processes of the same user share memory by its name. Here both are one.
func ExampleCreate() {
	name := "frames-" + rand.Text() // "frames" serves as well, if there is only one
	s, err := shm.Create(name, 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	defer shm.Remove(name)
	defer s.Close()
	copy(s.Bytes(), "hello")

	same, err := shm.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer same.Close()
	fmt.Println(same.Size(), string(same.Bytes()[:5]))
	// Output: 1048576 hello
}

// A segment with a name outlives whoever has made it. The README shows this.
func ExampleRemove() {
	name, frame := "frames-"+rand.Text(), []byte("a frame")
	show := func(b []byte) { fmt.Println(len(b), string(b[:len(frame)])) }

	s, err := shm.Create(name, 1<<20) // 1 MiB, zero, reserved
	check(err)
	copy(s.Bytes(), frame)
	check(s.Close()) // the segment stays, for whoever opens it by its name

	same, err := shm.Open(name)
	check(err)
	show(same.Bytes())
	check(same.Close())
	check(shm.Remove(name)) // until it is removed
	// Output: 1048576 a frame
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A program of which one instance is to run finds what its last run has left, if that was killed. If another instance runs, the
// segment is held, and stays.
func ExampleRemoveOrphan() {
	name := "instance-" + rand.Text()
	killed, err := shm.Create(name, 4096)
	if err != nil {
		log.Fatal(err)
	}
	killed.Close() // as death does

	s, err := shm.Create(name, 4096)
	if errors.Is(err, fs.ErrExist) {
		if err = shm.RemoveOrphan(name); err == nil {
			s, err = shm.Create(name, 4096)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	defer shm.Remove(name)
	defer s.Close()
	fmt.Println(errors.Is(shm.RemoveOrphan(name), shm.ErrHeld))
	// Output: true
}

func ExampleList() {
	name := "frames-" + rand.Text()
	s, err := shm.Create(name, 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer shm.Remove(name)
	defer s.Close()
	all, err := shm.List()
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range all {
		if info.Name == name { // others' programs have segments too
			fmt.Println(info.Size, info.Held)
		}
	}
	// Output: 4096 true
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
