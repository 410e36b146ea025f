package process

import (
	"fmt"
	"os"
	"sync"
)

// An Entry is a function that children can run.
type Entry struct {
	name    string
	run     func(files []*os.File)
	reports bool // run leaves word if it fails
}

var registry = struct {
	sync.Mutex
	entries map[string]*Entry
	closed  bool // Main has run in this process
}{entries: map[string]*Entry{}}

// NewEntry registers run under a name, so that parent and child mean the same. It is
// called for a package-level variable, and panics if the name is empty or taken, or
// after [Main]: a child would not know the entry.
//
// In the child run is called on the main goroutine with the files of
// [Options]; when it returns, the child exits with code 0.
func NewEntry(name string, run func(files []*os.File)) *Entry {
	registry.Lock()
	defer registry.Unlock()
	switch {
	case name == "":
		panic("process: NewEntry with an empty name")
	case run == nil:
		panic(fmt.Sprintf("process: entry %q has no function", name))
	case registry.entries[name] != nil:
		panic(fmt.Sprintf("process: entry %q is registered twice", name))
	case registry.closed:
		panic(fmt.Sprintf("process: entry %q is registered after Main: "+
			"no child would know it, make it a package-level variable", name))
	}
	e := &Entry{name: name, run: run}
	registry.entries[name] = e
	return e
}

// lookup returns the entry of that name, or nil.
func lookup(name string) *Entry {
	registry.Lock()
	defer registry.Unlock()
	return registry.entries[name]
}

// Ready reports whether [Main] has run, without which nothing can be started.
func Ready() bool {
	registry.Lock()
	defer registry.Unlock()
	return registry.closed
}

func closeRegistry() {
	registry.Lock()
	defer registry.Unlock()
	registry.closed = true
}
