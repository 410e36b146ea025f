package layout

//lint:file-ignore U1000 fields that are there for their types

import (
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

type (
	flags struct {
		on   bool
		n    uint32
		many [3]struct {
			b byte
			c bool
		}
		none [0]bool
	}
	chain struct {
		Next *chain
		N    int
	}
	chainToo struct {
		Next *chainToo
		N    int
	}
	shape  struct{ X, Y float64 }
	figure struct{ A, B shape }
)

func TestPointerFree(t *testing.T) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[int](), reflect.TypeFor[uintptr](), reflect.TypeFor[complex64](), reflect.TypeFor[flags](),
		reflect.TypeFor[time.Duration](), reflect.TypeFor[atomic.Int64](), reflect.TypeFor[Header](), reflect.TypeFor[struct{}](),
	} {
		for range 2 { // the second answer is remembered
			assert.NoError(t, PointerFree(typ), "%v", typ)
		}
	}
	for want, typ := range map[string]reflect.Type{
		"*int is a ptr, which means nothing in another process":      reflect.TypeFor[*int](),
		"string is a string, which":                                  reflect.TypeFor[string](),
		"[]int is a slice":                                           reflect.TypeFor[[]int](),
		"map[int]int is a map":                                       reflect.TypeFor[map[int]int](),
		"chan int is a chan":                                         reflect.TypeFor[chan int](),
		"func() is a func":                                           reflect.TypeFor[func()](),
		"error is a interface":                                       reflect.TypeFor[error](),
		"unsafe.Pointer is a unsafe.Pointer":                         reflect.TypeFor[unsafe.Pointer](),
		"layout.chain.Next is a ptr":                                 reflect.TypeFor[chain](),
		"struct { a [2]struct { b [1]string } }.a[].b[] is a string": reflect.TypeFor[struct{ a [2]struct{ b [1]string } }](),
		"sync.Mutex is a lock of one process":                        reflect.TypeFor[sync.Mutex](),
		"struct { n int; mu sync.RWMutex }.mu is a lock": reflect.TypeFor[struct {
			n  int
			mu sync.RWMutex
		}](),
	} {
		for range 2 {
			assert.ErrorContains(t, PointerFree(typ), want)
		}
	}
}

func TestBools(t *testing.T) {
	var f flags
	assert.Equal(t, []uintptr{0,
		unsafe.Offsetof(f.many) + 1, unsafe.Offsetof(f.many) + 3, unsafe.Offsetof(f.many) + 5}, Bools(reflect.TypeFor[flags]()))
	assert.Equal(t, []uintptr{0}, Bools(reflect.TypeFor[bool]()))
	for typ, has := range map[reflect.Type]bool{
		reflect.TypeFor[flags](): true, reflect.TypeFor[[2][2]bool](): true, reflect.TypeFor[shape](): false,
		reflect.TypeFor[[0]bool](): false, reflect.TypeFor[[4]byte](): false,
	} {
		assert.Equal(t, has, HasBool(typ), "%v", typ)
		assert.Equal(t, has, len(Bools(typ)) > 0, "%v", typ)
	}
}

func TestNormalise(t *testing.T) {
	var values [3]flags
	mem := SliceBytes(values[:])
	for i := range mem {
		mem[i] = byte(i) + 2
	}
	before := append([]byte(nil), mem...)
	offs := Bools(reflect.TypeFor[flags]())
	Normalise(mem, unsafe.Sizeof(flags{}), offs)
	for _, off := range offs {
		for i := range uintptr(3) {
			at := i*unsafe.Sizeof(flags{}) + off
			assert.EqualValues(t, 1, mem[at])
			mem[at] = before[at]
		}
	}
	assert.Equal(t, before, mem, "touched what is no bool")

	tail := []byte{0, 1, 2, 3}
	Normalise(tail, 3, []uintptr{0, 2})
	assert.Equal(t, []byte{0, 1, 1, 3}, tail, "an incomplete value stays as it is")
	Normalise(nil, 0, nil)
}

func TestFingerprint(t *testing.T) {
	same := func(a, b reflect.Type) { t.Helper(); assert.Equal(t, Fingerprint(a), Fingerprint(b)) }
	same(reflect.TypeFor[shape](), reflect.TypeFor[struct{ X, Y float64 }]())
	same(reflect.TypeFor[chain](), reflect.TypeFor[chainToo]())
	same(reflect.TypeFor[figure](), reflect.TypeFor[struct {
		A struct{ X, Y float64 }
		B shape
	}]())

	seen := map[uint64]reflect.Type{}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[int64](), reflect.TypeFor[uint64](), reflect.TypeFor[[1]int64](), reflect.TypeFor[[]int64](), reflect.TypeFor[*int64](),
		reflect.TypeFor[shape](), reflect.TypeFor[struct{ Y, X float64 }](), reflect.TypeFor[struct{ X, Y int64 }](),
		reflect.TypeFor[struct{ X, Y, Z float64 }](), reflect.TypeFor[chain](), reflect.TypeFor[*chain](), reflect.TypeFor[figure](),
		reflect.TypeFor[map[int]string](), reflect.TypeFor[map[string]int](),
		reflect.TypeFor[struct{ N struct{ Next *chain } }](), reflect.TypeFor[struct{ N struct{ Next *shape } }](),
	} {
		print := Fingerprint(typ)
		assert.Nil(t, seen[print], "%v", typ)
		seen[print] = typ
	}
}
