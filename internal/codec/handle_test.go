package codec

//lint:file-ignore U1000 fields that are there for their types

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type (
	Queue  struct{ head, tail *Queue } // as a handle it is not looked into
	region struct{ mem []byte }
	Room   *region // a handle with a name of its own
	broken struct{}
	ends   struct {
		In  *Queue
		Out *Queue
	}
	request struct {
		ID    int16
		_     *Queue // blank fields are left alone
		Small int8
		Labels
		When   time.Time
		Ends   ends
		Data   []uint32
		Tree   *tree `cbor:"-"`
		Urgent bool
		Room   Room
		Names  [][]string
		Last   string
	}
	Labels map[string]int
)

func mustRefer[T any](t require.TestingT) *Plan[T] {
	p, err := For[T](nil, refers)
	require.NoError(t, err)
	require.Equal(t, kindFlat, p.kind)
	require.True(t, p.Handles())
	require.True(t, p.Lends())
	require.False(t, p.Plain())
	return p
}

func TestHandleAlone(t *testing.T) {
	p, m := mustRefer[*Queue](t), newMemory()
	m.handles = []any{nil, nil}
	q := new(Queue)
	src := send(t, p, &q, m)
	assert.Equal(t, words(3), src)
	var got *Queue
	require.NoError(t, p.Decode(src, &got, false, m))
	assert.Same(t, q, got)

	var none *Queue
	src = send(t, p, &none, m)
	assert.Equal(t, words(0), src)
	require.NoError(t, p.Decode(src, &got, false, m))
	assert.Nil(t, got)
	assert.Equal(t, []string{"give *codec.Queue"}, m.calls, "nil is not given")
}

func someRequest(t *testing.T, m *memory) request {
	return request{
		ID: -2, Small: 3, Labels: Labels{"a": 1}, When: time.Unix(1, 2).UTC(),
		Ends: ends{Out: new(Queue)}, Data: values[uint32](t, m, 8, 3), Tree: &tree{Name: "root"},
		Urgent: true, Room: new(region), Names: [][]string{nil, {"x", ""}}, Last: "end",
	}
}

func TestHandlesAmongOtherFields(t *testing.T) {
	p, m := mustRefer[request](t), newMemory()
	want := someRequest(t, m)
	src := send(t, p, &want, m)
	assert.Equal(t, []string{"give *codec.Queue", "lend 12", "give codec.Room"}, m.calls, "in the order of the fields")
	for _, view := range []bool{false, true} {
		got := request{ID: 9, Labels: Labels{"old": 2}, Ends: ends{In: new(Queue)}}
		require.NoError(t, p.Decode(src, &got, view, m))
		assert.Equal(t, want, got)
		assert.Nil(t, got.Ends.In)
		assert.Same(t, want.Ends.Out, got.Ends.Out)
		assert.Same(t, (*region)(want.Room), (*region)(got.Room))
		assert.Same(t, &want.Data[0], &got.Data[0])
	}

	var zero request
	src = send(t, p, &zero, m)
	got := want
	require.NoError(t, p.Decode(src, &got, false, m))
	assert.Equal(t, zero, got)
}

// TestMixedWire: what is not flat is one CBOR item for each such field.
func TestMixedWire(t *testing.T) {
	type value struct {
		A int64
		S struct { // not flat; its flat part must not go with A
			B int64
			M map[int]int
		}
		C int8
		H *Queue
	}
	p, m := mustRefer[value](t), newMemory()
	v := value{A: 1, C: 2, H: new(Queue)}
	v.S.B = 3
	assert.Equal(t, bytes.Join([][]byte{
		words(1),
		words(7), []byte("\xa2\x61B\x03\x61M\xf6\x00"),
		{2, 0, 0, 0, 0, 0, 0, 0},
		words(1),
	}, nil), send(t, p, &v, m))
	assert.EqualValues(t, 8, p.ops[0].size)
}

func TestPrepareWithoutMemory(t *testing.T) {
	p := mustRefer[ends](t)
	_, err := p.Prepare(&ends{}, nil)
	assert.EqualError(t, err, "encode codec.ends: crosses by reference, but no memory is shared")
	got := ends{In: new(Queue)}
	assert.EqualError(t, p.Decode(words(0, 0), &got, false, nil), "decode codec.ends: crosses by reference, but no memory is shared")
	assert.Zero(t, got)
}

func TestPrepareFails(t *testing.T) {
	p, m := mustRefer[request](t), newMemory()
	v := someRequest(t, m)
	m.refuses = any(v.Room)
	e, err := p.Prepare(&v, m)
	assert.ErrorIs(t, err, errRefused)
	assert.EqualError(t, err, "encode codec.request: codec.request.Room: give codec.Room: refused")
	assert.Zero(t, e)

	// A value that cannot cross is found out before anything is given.
	m.calls, m.refuses = nil, nil
	v.When = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	e, err = p.Prepare(&v, m)
	assert.ErrorContains(t, err, "encode codec.request: codec.request.When: value has the time.Time")
	assert.Zero(t, e)
	assert.Empty(t, m.calls)
}

// topmost gives a number for which there is no word.
type topmost struct{ Giver }

func (topmost) Give(any) (uint64, error) { return math.MaxUint64, nil }

func TestGiveTopmost(t *testing.T) {
	q := new(Queue)
	assert.Panics(t, func() { _, _ = mustRefer[*Queue](t).Prepare(&q, topmost{}) })
}

func TestHandleCopiedTwice(t *testing.T) {
	p, m := mustRefer[request](t), newMemory()
	v := someRequest(t, m)
	e, err := p.Prepare(&v, m)
	require.NoError(t, err)
	calls := len(m.calls)
	first, second := make([]byte, e.Size()), make([]byte, e.Size())
	e.CopyTo(first)
	e.CopyTo(second)
	assert.Equal(t, first, second)
	assert.Len(t, m.calls, calls)
}

func TestTakeRejects(t *testing.T) {
	p, m := mustRefer[*Queue](t), newMemory()
	m.handles = []any{nil, Room(new(region)), (*Queue)(nil), new(Queue), 7}
	for want, src := range map[string][]byte{
		"1 values of 8 bytes, but 0 bytes are left":           {},
		"take 0: it is a <nil>, want a *codec.Queue":          words(1),
		"take 1: it is a codec.Room, want a *codec.Queue":     words(2),
		"take 2: it is nil":                                   words(3),
		"take 4: it is a int, want a *codec.Queue":            words(5),
		"take 5: unknown":                                     words(6),
		"take 18446744073709551614: unknown":                  words(math.MaxUint64),
		"decode *codec.Queue: 8 bytes left over":              words(4, 0),
		"decode *codec.Queue: *codec.Queue: take 99: unknown": words(100),
	} {
		got := new(Queue)
		assert.ErrorContains(t, p.Decode(src, &got, false, m), want)
		assert.Nil(t, got)
	}
	var got *Queue
	assert.NoError(t, p.Decode(words(4), &got, false, m))
	assert.ErrorIs(t, p.Decode(words(9), &got, false, m), errUnknown)
}

func TestMixedRejects(t *testing.T) {
	type value struct {
		Q *Queue
		M map[string]int
	}
	p, m := mustRefer[value](t), newMemory()
	for want, src := range map[string][]byte{
		"codec.value.M: 1 values of 8 bytes, but 0 bytes are left": words(0),
		"codec.value.M: 9 values of 1 bytes, but 8 bytes are left": words(0, 9, 0),
		"codec.value.M: unexpected EOF":                            words(0, 0),
		"codec.value.M: cbor: ":                                    append(words(0, 1), 0x01, 0, 0, 0, 0, 0, 0, 0),
	} {
		for _, view := range []bool{false, true} {
			got := value{M: map[string]int{"old": 1}}
			assert.ErrorContains(t, p.Decode(src, &got, view, m), "decode codec.value: "+want)
			assert.Zero(t, got)
		}
	}
}

// keeping keeps the bytes that it is decoded from.
type keeping struct{ data []byte }

func (k keeping) MarshalCBOR() ([]byte, error)  { return k.data, nil }
func (k *keeping) UnmarshalCBOR(b []byte) error { k.data = b; return nil }

// TestMixedIndependent: without views, CBOR fields have nothing to do with the source.
func TestMixedIndependent(t *testing.T) {
	type value struct {
		Q *Queue
		K keeping
	}
	p, m := mustRefer[value](t), newMemory()
	src := send(t, p, &value{K: keeping{[]byte("\x43abc")}}, m)
	var got value
	require.NoError(t, p.Decode(src, &got, false, m))
	clear(src)
	assert.Equal(t, "\x43abc", string(got.K.data))
}

// requireShared checks that a decoded value has nothing that m did not give.
func requireShared(t require.TestingT, m *memory, got *request) {
	for _, h := range []any{got.Ends.In, got.Ends.Out, got.Room} {
		if !reflect.ValueOf(h).IsNil() {
			require.Contains(t, m.handles, h)
		}
	}
	require.LessOrEqual(t, 4*len(got.Data), len(m.arena)+1<<20)
	for i := range got.Data {
		got.Data[i]++ // faults if it is nobody's memory
	}
	require.LessOrEqual(t, *(*byte)(unsafe.Pointer(&got.Urgent)), byte(1))
}

func TestMixedHostileBytes(t *testing.T) {
	p, m := mustRefer[request](t), newMemory()
	v := someRequest(t, m)
	good := send(t, p, &v, m)
	rapid.Check(t, func(t *rapid.T) {
		src := bytes.Clone(good)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := 8 * rapid.IntRange(0, len(src)/8-1).Draw(t, "word")
			w := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 40), rapid.Custom(func(t *rapid.T) uint64 {
				return lent | rapid.Uint64Range(0, 80).Draw(t, "lent")
			})).Draw(t, "value")
			binary.NativeEndian.PutUint64(src[at:], w)
		}
		src = src[:len(src)-rapid.SampledFrom([]int{0, 0, 0, 1, 8, 24}).Draw(t, "cut")]
		for _, view := range []bool{false, true} {
			var got request
			if p.Decode(src, &got, view, m) == nil {
				requireShared(t, m, &got)
			} else {
				require.Zero(t, got)
			}
		}
	})
}

func FuzzDecodeMixed(f *testing.F) {
	p, m := mustRefer[request](f), newMemory()
	v := request{Labels: Labels{"a": 1}, Ends: ends{In: new(Queue)}, Room: new(region), Last: "end"}
	f.Add(send(f, p, &v, m))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, view := range []bool{false, true} {
			var got request
			if p.Decode(bytes.Clone(src), &got, view, m) == nil {
				requireShared(t, m, &got)
			}
		}
	})
}
