package codec

//lint:file-ignore U1000 fields that are there for their types

import (
	"bytes"
	"encoding"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
)

// half types marshal but do not unmarshal, or the other way round.
type (
	halfBinary struct{ s string }
	halfOther  struct{ s string }
	halfCBOR   struct{ s string }
	halfUnCBOR struct{ s string }
	wholeKey   string
	pointerKey struct{ p *int }
	stamped    struct {
		time.Time
		Name string
	}
	stampedPtr struct {
		Name string
		*url.URL
	}
	twoStamps struct { // the two cancel each other's methods, and no field is left
		time.Time
		netip.Addr
	}
	bigInside struct {
		big.Int
		Name string
	}
	embedsIface struct {
		encoding.BinaryMarshaler
		encoding.BinaryUnmarshaler
	}
	Plain   struct{ A, B []string }
	shadows struct {
		Plain
		A int
	}
	pointsTo struct {
		*Plain
		C string
	}
	locked struct {
		Names []string
		mu    sync.Mutex
	}
	lockedMarshaler struct {
		mu sync.RWMutex
	}
	deep struct {
		List []struct {
			M map[string]*struct{ Done chan int }
		}
	}
	node2 struct {
		Next *node2
		F    func()
	}
	custom time.Time
)

func (halfBinary) MarshalBinary() ([]byte, error)       { return nil, nil }
func (*halfOther) UnmarshalBinary([]byte) error         { return nil }
func (halfCBOR) MarshalCBOR() ([]byte, error)           { return nil, nil }
func (halfCBOR) UnmarshalBinary([]byte) error           { return nil }
func (*halfUnCBOR) UnmarshalCBOR([]byte) error          { return nil }
func (*halfUnCBOR) MarshalBinary() ([]byte, error)      { return nil, nil }
func (w wholeKey) MarshalBinary() ([]byte, error)       { return []byte(w), nil }
func (w *wholeKey) UnmarshalBinary(b []byte) error      { *w = wholeKey(b); return nil }
func (pointerKey) MarshalBinary() ([]byte, error)       { return nil, nil }
func (*pointerKey) UnmarshalBinary([]byte) error        { return nil }
func (*lockedMarshaler) MarshalBinary() ([]byte, error) { return nil, nil }
func (*lockedMarshaler) UnmarshalBinary([]byte) error   { return nil }

func refused[T any](want string) func(*testing.T) {
	return func(t *testing.T) {
		p, err := For[T](nil, nil)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "choose codec for "+reflect.TypeFor[T]().String()+": ")
		assert.Nil(t, p)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"any":             refused[any]("interface {} is an interface"),
		"error":           refused[struct{ Err error }](".Err is an interface"),
		"chan":            refused[deep]("codec.deep.List[].M[].Done is a chan"),
		"func":            refused[func()]("func() is a func"),
		"func, recursive": refused[node2]("codec.node2.F is a func"),
		"unsafe":          refused[struct{ P []struct{ U map[int]uintptr } }](".P[].U[] is a uintptr"),
		"complex":         refused[map[string][]complex64]("map[string][]complex64[][] is a complex64"),
		"complex key":     refused[map[complex128]int]("[key] is a complex128"),
		"sync":            refused[sync.Mutex]("sync.Mutex is a sync.Mutex, which must not be copied"),
		"sync field":      refused[locked]("codec.locked.mu is a sync.Mutex"),
		"sync in plain":   refused[struct{ n struct{ a [2]atomic.Int64 } }](".n.a[] is a atomic.Int64"),
		"sync in slice":   refused[[]atomic.Bool]("[]atomic.Bool[] is a atomic.Bool"),
		"sync behind map": refused[map[int]*locked]("map[int]*codec.locked[].mu is a sync.Mutex"),
		"sync in leaf":    refused[*lockedMarshaler]("codec.lockedMarshaler.mu is a sync.RWMutex"),
		"unexported":      refused[struct{ S, t []string }](".t is not exported"),
		"unexported plain": refused[struct {
			S string
			n int
		}](".n is not exported"),
		"unexported type": refused[custom]("codec.custom.wall is not exported"),
		"dash": refused[map[int]struct {
			S string `cbor:"-"`
		}](`[].S has the tag "-" and would be lost; a tag cbor:"S" keeps it`),
		"json dash": refused[map[int]struct {
			S string `json:"-"`
		}](`[].S has the tag "-"`),
		"omitempty": refused[[]struct {
			S []int `json:"s,omitempty"`
		}](`[].S has the tag option "omitempty"`),
		"omitzero": refused[[]struct {
			S []int `cbor:",omitzero"`
		}](`[].S has the tag option "omitzero"`),
		"keyasint": refused[[]struct {
			S []int `cbor:"1,keyasint"`
		}](`[].S has the tag option "keyasint"`),
		"toarray": refused[[]struct {
			_ struct{} `cbor:",toarray"`
			S []int
		}](`[]._ has the tag ",toarray"`),
		"same name": refused[[]struct {
			A []int `json:"B"`
			B []int
		}](`[].B has the same name in CBOR as []struct { A []int "json:\"B\""; B []int }[].A: "B"`),
		"shadowed":          refused[[]shadows](`[]codec.shadows[].A has the same name in CBOR as []codec.shadows[].Plain.A`),
		"embedded pointer":  refused[[]pointsTo]("[].Plain is an embedded pointer"),
		"embedded time":     refused[stamped]("codec.stamped embeds a type with MarshalBinary"),
		"embedded URL":      refused[[]stampedPtr]("embeds a type with MarshalBinary"),
		"embedded twice":    refused[twoStamps]("codec.twoStamps.Time is an embedded time.Time"),
		"embedded big":      refused[bigInside]("codec.bigInside.Int is an embedded big.Int"),
		"embedded iface":    refused[embedsIface]("embeds a type with MarshalBinary"),
		"pointer pointer":   refused[**int]("**int is a pointer to a ptr"),
		"pointer slice":     refused[struct{ P *[]string }](".P is a pointer to a slice"),
		"pointer map":       refused[struct{ P *map[string]int }](".P is a pointer to a map"),
		"pointer any":       refused[*any]("is an interface"),
		"key pointer":       refused[map[*int]int]("[key] is a ptr"),
		"key any":           refused[map[any]int]("[key] is a interface"),
		"key in struct":     refused[map[struct{ A [1]chan int }]int]("[key].A[] is a chan"),
		"key time":          refused[map[time.Time]int]("[key] is a time.Time"),
		"key time in key":   refused[map[struct{ T time.Time }]int]("[key].T is a time.Time"),
		"key unexported":    refused[map[struct{ a int }]int]("[key].a is not exported"),
		"key with pointer":  refused[map[pointerKey]int]("[key] is a codec.pointerKey, which compares pointers"),
		"half binary":       refused[[]halfBinary]("[] has MarshalBinary but no UnmarshalBinary"),
		"half other":        refused[[]halfOther]("[] has UnmarshalBinary but no MarshalBinary"),
		"half CBOR":         refused[[]halfCBOR]("[] has MarshalCBOR but no UnmarshalCBOR"),
		"half and half":     refused[[]halfUnCBOR]("[] has UnmarshalCBOR but no MarshalCBOR"),
		"text methods only": refused[*big.Float]("*big.Float.prec is not exported"),
		"raw message":       refused[map[string]cbor.RawMessage]("[] is a cbor.RawMessage"),
		"tag":               refused[cbor.Tag]("cbor.Tag is a cbor.Tag"),
	} {
		t.Run(name, test)
	}
}

func TestAccepted(t *testing.T) {
	must[map[wholeKey]int](t, kindCBOR)
	must[map[netip.AddrPort]string](t, kindCBOR)
	must[[]struct {
		S string `json:"-" cbor:"S"`
		T string `json:"t,string"`
		_ func()
	}](t, kindCBOR)
	must[cbor.RawMessage](t, kindFlat)
	must[[]struct{ Embedded struct{ Plain } }](t, kindCBOR)
}

// TestMarshalsLikeTheEncoder: where this package believes that methods are used, they are.
func TestMarshalsLikeTheEncoder(t *testing.T) {
	p := must[map[wholeKey]int](t, kindCBOR)
	src := encode(t, p, &map[wholeKey]int{"key": 1})
	assert.True(t, bytes.Contains(src, []byte("\x43key")), "%q is no byte string", src)
}
