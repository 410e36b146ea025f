package codec

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type (
	text   string
	octet  uint8
	numKey struct {
		A int8
		B [2]string
	}
	list struct {
		Value int
		Next  *list
	}
	tree struct {
		Name     string
		Children []tree
		ByName   map[string]*tree
	}
	forest []forest
	inner  struct{ In, Out float64 }
	Base   struct {
		ID    uint64
		Inner inner
	}
	hidden struct{ Visible []string }
	rich   struct {
		Base
		hidden
		_       [0]func()
		Bool    bool
		Ints    map[int16][]int64
		Uints   map[uint64]uint8
		Floats  map[float64]float32
		Bits    [3]float32
		Text    map[text]text
		Bytes   map[string][]byte
		Octets  [][]octet
		Hash    map[[4]byte][8]byte
		Keys    map[numKey]*numKey
		Nested  [][][]string
		Ptr     *string
		PtrArr  *[2]bool
		Time    time.Time
		Big     big.Int
		PtrBig  *big.Int
		Addr    netip.Addr
		ByAddr  map[netip.Addr]bool
		Renamed []string `json:"ints"`
		Tagged  int      `cbor:"Ptr2" json:"-"`
		Empty   struct{}
		Nothing []struct{}
	}
)

func TestCBORRoundTrip(t *testing.T) {
	checkRoundTrips[rich](t, kindCBOR)
	checkRoundTrips[tree](t, kindCBOR)
	checkRoundTrips[*list](t, kindCBOR)
	checkRoundTrips[forest](t, kindCBOR)
	checkRoundTrips[[]string](t, kindCBOR)
	checkRoundTrips[[][]float64](t, kindCBOR)
	checkRoundTrips[[]struct{}](t, kindCBOR)
	checkRoundTrips[[2]string](t, kindCBOR)
	checkRoundTrips[*bool](t, kindCBOR)
	checkRoundTrips[*string](t, kindCBOR)
	checkRoundTrips[time.Time](t, kindCBOR)
	checkRoundTrips[big.Int](t, kindCBOR)
	checkRoundTrips[*big.Int](t, kindCBOR)
	checkRoundTrips[netip.Addr](t, kindCBOR)
	checkRoundTrips[map[string]string](t, kindCBOR)
	checkRoundTrips[map[string][]int](t, kindCBOR)
	checkRoundTrips[map[bool]*float32](t, kindCBOR)
	checkRoundTrips[map[string]map[string]struct{}](t, kindCBOR)
}

func TestCBORKeepsZeroTime(t *testing.T) {
	p := must[[]time.Time](t, kindCBOR)
	requireRoundTrip(t, p, &[]time.Time{{}, time.Time{}.Local().UTC()})
}

func TestCBORKeepsMarshaler(t *testing.T) {
	p := must[map[string]*url.URL](t, kindCBOR)
	u, err := url.Parse("https://a:b@example.org/x?y#z")
	require.NoError(t, err)
	var got map[string]*url.URL
	want := map[string]*url.URL{"u": u, "nil": nil}
	require.NoError(t, p.Decode(encode(t, p, &want), &got, true, nil))
	assert.Equal(t, want, got)
}

func TestCBORLarge(t *testing.T) {
	const n = 131_073 // one more than the library's default limit
	strings := make([]string, n)
	strings[n-1] = "last"
	requireRoundTrip(t, must[[]string](t, kindCBOR), &strings)

	pairs := make(map[int]bool, n)
	for i := range n {
		pairs[i] = i%2 == 0
	}
	requireRoundTrip(t, must[map[int]bool](t, kindCBOR), &pairs)
}

func TestCBORDeep(t *testing.T) {
	for _, depth := range []int{100, MaxDepth} {
		var l *list
		for i := range depth {
			l = &list{i, l}
		}
		p := must[*list](t, kindCBOR)
		var got *list
		require.NoError(t, p.Decode(encode(t, p, &l), &got, true, nil))
		for i := depth - 1; i >= 0; i-- {
			require.Equal(t, i, got.Value)
			got = got.Next
		}
		assert.Nil(t, got)

		var f forest
		for range depth {
			f = forest{f}
		}
		requireRoundTrip(t, must[forest](t, kindCBOR), &f)
	}
}

// TestCBORReusedDestination: decoding into maps, slices and pointers that exist must not
// merge into them, nor touch them.
func TestCBORReusedDestination(t *testing.T) {
	p := must[tree](t, kindCBOR)
	shared := map[string]*tree{"old": {}}
	got := tree{Name: "old", Children: []tree{{Name: "old"}}, ByName: shared}
	require.NoError(t, p.Decode(encode(t, p, &tree{ByName: map[string]*tree{}}), &got, false, nil))
	assert.Equal(t, tree{ByName: map[string]*tree{}}, got)
	assert.Len(t, shared, 1)
}

// TestCBORIndependent: nothing decoded may lie in the source or in a pooled buffer.
func TestCBORIndependent(t *testing.T) {
	p := must[map[string][]byte](t, kindCBOR)
	want := map[string][]byte{"key": []byte("value")}
	for _, view := range []bool{false, true} {
		src := encode(t, p, &want)
		var got map[string][]byte
		require.NoError(t, p.Decode(src, &got, view, nil))
		clear(src)
		encode(t, p, &map[string][]byte{"xxx": []byte("yyyyy")})
		assert.Equal(t, want, got)
	}
}

func TestCBORRejects(t *testing.T) {
	type pair struct{ A, B []string }
	p := must[pair](t, kindCBOR)
	good := encode(t, p, &pair{A: []string{"x"}})
	for name, src := range map[string][]byte{
		"nothing":        {},
		"cut":            good[:len(good)-1],
		"trailing":       append(bytes.Clone(good), 0xf6),
		"unknown field":  []byte("\xa1\x61C\xf6"),
		"case":           []byte("\xa1\x61a\xf6"),
		"twice":          []byte("\xa2\x61A\xf6\x61A\xf6"),
		"another type":   []byte("\xa1\x61A\x01"),
		"huge length":    []byte("\xa1\x61A\x9b\x7f\xff\xff\xff\xff\xff\xff\xff"),
		"no end":         []byte("\xa1\x61A\x9f\xff"),
		"too deep":       bytes.Repeat([]byte{0x81}, maxDecodeDepth+1),
		"deep, no limit": bytes.Repeat([]byte{0x81}, 1<<20),
	} {
		got := pair{B: []string{"old"}}
		err := p.Decode(src, &got, false, nil)
		assert.ErrorContains(t, err, "decode codec.pair: ", name)
		assert.NotErrorIs(t, err, io.EOF, name) // which means that all went well, elsewhere
		assert.Equal(t, pair{}, got, name)
	}
	maps := must[map[string]int](t, kindCBOR)
	var got map[string]int
	assert.ErrorContains(t, maps.Decode([]byte("\xa2\x61A\x01\x61A\x02"), &got, false, nil), "duplicate map key")
	assert.Nil(t, got)
}

// rude panics where told to, and writes what it is told to.
type rude struct{ S []string }

func (r rude) MarshalCBOR() ([]byte, error) {
	switch r.S[0] {
	case "panic":
		panic("no manners")
	case "fail":
		return nil, errRude
	}
	return []byte(r.S[0]), nil
}

func (r *rude) UnmarshalCBOR(b []byte) error {
	if b[0] == 0x01 {
		var nothing *rude
		nothing.S = nil
	}
	r.S = []string{string(b)}
	return nil
}

var errRude = errors.New("rude")

func TestCBORMarshalerMisbehaves(t *testing.T) {
	p := must[map[string]rude](t, kindCBOR)
	v := map[string]rude{"": {[]string{"\x20"}}}
	requireRoundTrip(t, p, &v)

	for say, want := range map[string]string{
		"panic": "panic: no manners",
		"":      "EOF",
		"\x81":  "EOF",
	} {
		_, err := p.Prepare(&map[string]rude{"": {[]string{say}}}, nil)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "encode map[string]codec.rude: ")
	}
	_, err := p.Prepare(&map[string]rude{"": {[]string{"fail"}}}, nil)
	assert.ErrorIs(t, err, errRude)
	_, err = p.Prepare(&map[string]rude{"": {}}, nil)
	assert.ErrorContains(t, err, "panic: ")
	assert.ErrorContains(t, err, "index out of range")

	v = map[string]rude{"": {[]string{"\x01"}}}
	src := encode(t, p, &v)
	assert.ErrorContains(t, p.Decode(src, &v, true, nil), "nil pointer dereference")
	assert.Nil(t, v)
}

func FuzzDecodeCBOR(f *testing.F) {
	p := must[rich](f, kindCBOR)
	for seed := range 8 {
		v := rapid.Custom(func(t *rapid.T) (v rich) {
			fill(t, reflect.ValueOf(&v).Elem(), 3)
			return v
		}).Example(seed)
		f.Add(encode(f, p, &v))
	}
	f.Add([]byte{})
	f.Add([]byte("\xa1\x64Nothing\x9b\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, src []byte) {
		var v rich
		if p.Decode(src, &v, false, nil) == nil {
			if _, err := p.Prepare(&v, nil); err == nil { // what came in may be what cannot go out: a time in an odd zone
				requireRoundTrip(t, p, &v)
			}
		}
	})
}
