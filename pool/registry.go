package pool

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/process"
)

// A handler is one registered function as a worker sees it.
type handler interface {
	// serve decodes arg, runs the function and places the result in out.
	serve(ctx context.Context, arg []byte, out *answer) error

	// serveChunk does so for each item of the chunk that the worker has claimed.
	serveChunk(w *worker) error
}

// A definition is what both sides know of a registered function.
type definition struct {
	id          uint32 // position in the registry's order
	name        string
	fingerprint uint64 // of its types and their encoding
	handler     handler
	out         any          // the *codec.Plan of its results
	result      *codec.Fixed // of pointer-free results; nil for others
	lends       bool         // a table of references stands before each result
	itemArg     uint64       // bytes of the argument of an item that travels in a chunk
	itemResult  uint64       // and of its result
}

// registry holds the functions of this program. They are package-level values,
// made before Main, so parent and workers, being the same program, make the same.
var registry struct {
	sync.Mutex
	defs   []*definition
	byName map[string]*definition
	inits  map[string]initialiser
}

// register adds a function. It panics if its name is taken or Main has run.
func register(d *definition) *definition {
	registry.Lock()
	defer registry.Unlock()
	mustRegister("Func", d.name, registry.byName[d.name] != nil)
	d.id = uint32(len(registry.defs))
	if registry.byName == nil {
		registry.byName = map[string]*definition{}
	}
	registry.defs = append(registry.defs, d)
	registry.byName[d.name] = d
	return d
}

// mustRegister panics for registrations that only a bug can cause.
func mustRegister(kind, name string, taken bool) {
	switch {
	case name == "":
		panic(fmt.Sprintf("pool: %s with an empty name", kind))
	case process.Ready():
		panic(fmt.Sprintf("pool: %s %q after pool.Main: make it a package-level variable", kind, name))
	case taken:
		panic(fmt.Sprintf("pool: %s %q is registered twice", kind, name))
	}
}

// encodeTable writes the registry for the workers: for each function its
// fingerprint, the length of its name, its name.
func encodeTable() []byte {
	registry.Lock()
	defer registry.Unlock()
	var b []byte
	for _, d := range registry.defs {
		b = binary.LittleEndian.AppendUint64(b, d.fingerprint)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(d.name)))
		b = append(b, d.name...)
	}
	return b
}

// A binding is what one entry of the parent's table means in this worker: a function,
// or the reason why there is none.
type binding struct {
	name    string
	handler handler
	err     error
}

// bind matches the parent's table with this process's registry.
func bind(table []byte) ([]binding, error) {
	registry.Lock()
	defer registry.Unlock()
	var bound []binding
	for len(table) > 0 {
		if len(table) < 12 || uint64(len(table)-12) < uint64(binary.LittleEndian.Uint32(table[8:])) {
			return nil, fmt.Errorf("read function table: it ends within entry %d", len(bound))
		}
		fingerprint, n := binary.LittleEndian.Uint64(table), binary.LittleEndian.Uint32(table[8:])
		name := string(table[12 : 12+n])
		table = table[12+n:]
		bound = append(bound, bindOne(name, fingerprint))
	}
	return bound, nil
}

func bindOne(name string, fingerprint uint64) binding {
	d := registry.byName[name]
	switch {
	case d == nil:
		return binding{name: name, err: fmt.Errorf(
			"function %q is not registered in the worker: register it on every path to pool.Main, not under a condition", name)}
	case d.fingerprint != fingerprint:
		return binding{name: name, err: fmt.Errorf(
			"function %q has other argument or result types in the worker (fingerprint %#x, the parent has %#x)",
			name, d.fingerprint, fingerprint)}
	}
	return binding{name: name, handler: d.handler}
}
