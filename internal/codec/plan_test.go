package codec

//lint:file-ignore U1000 fields that are there for their types

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// jsonCodec is a caller's codec that can be made to misbehave.
type jsonCodec struct{ panics any }

func (c jsonCodec) Marshal(v any) ([]byte, error) {
	if c.panics != nil {
		panic(c.panics)
	}
	return json.Marshal(v)
}

func (c jsonCodec) Unmarshal(data []byte, v any) error {
	if c.panics != nil {
		panic(c.panics)
	}
	return json.Unmarshal(data, v)
}

func TestCustomCodec(t *testing.T) {
	p, err := For[any](jsonCodec{}, nil)
	require.NoError(t, err)
	assert.False(t, p.Plain())
	assert.Nil(t, p.Fixed())
	v := any([]any{"a", true, nil})
	src := encode(t, p, &v)
	assert.Equal(t, `["a",true,null]`, string(src))
	for _, view := range []bool{false, true} {
		got := any("old")
		require.NoError(t, p.Decode(src, &got, view, nil))
		assert.Equal(t, v, got)
	}

	// It is used even where a better plan is known.
	number, err := For[int](jsonCodec{}, nil)
	require.NoError(t, err)
	n := 12
	assert.Equal(t, "12", string(encode(t, number, &n)))
	n = 13
	assert.ErrorContains(t, number.Decode([]byte("x"), &n, true, nil), "decode int: invalid character")
	assert.Zero(t, n)
}

// keeper keeps what it must not keep.
type keeper struct{ data []byte }

func (*keeper) Marshal(any) ([]byte, error) { return nil, nil }

func (k *keeper) Unmarshal(data []byte, _ any) error {
	k.data = data
	return nil
}

func TestCustomCodecGetsBytesOfItsOwn(t *testing.T) {
	k := new(keeper)
	p, err := For[int](k, nil)
	require.NoError(t, err)
	src, v := []byte("abc"), 0
	require.NoError(t, p.Decode(src, &v, false, nil))
	src[0] = 'x'
	assert.Equal(t, "abc", string(k.data))
}

func TestCustomCodecFails(t *testing.T) {
	p, err := For[chan int](jsonCodec{}, nil)
	require.NoError(t, err)
	_, err = p.Prepare(new(chan int), nil)
	assert.ErrorContains(t, err, "encode chan int: json: unsupported type")

	reason := errors.New("out of order")
	for _, panics := range []any{reason, "out of order"} {
		p, err := For[int](jsonCodec{panics}, nil)
		require.NoError(t, err)
		_, err = p.Prepare(new(int), nil)
		assert.EqualError(t, err, "encode int: panic: out of order")
		assert.Equal(t, panics == any(reason), errors.Is(err, reason))
		assert.EqualError(t, p.Decode(nil, new(int), false, nil), "decode int: panic: out of order")
	}
}

func TestFingerprint(t *testing.T) {
	type other struct{ x, y, z float64 }
	type swapped struct{ y, x, z float64 }
	type again list
	print := func(p interface{ Fingerprint() uint64 }) uint64 { return p.Fingerprint() }
	custom, err := For[point](jsonCodec{}, nil)
	require.NoError(t, err)
	kept, err := For[point](new(keeper), nil)
	require.NoError(t, err)

	assert.Equal(t, print(must[point](t, kindPlain)), print(must[point](t, kindPlain)))
	assert.Equal(t, print(must[point](t, kindPlain)), print(must[other](t, kindPlain)), "names of plain types do not matter")
	seen := map[uint64]int{}
	for i, p := range []interface{ Fingerprint() uint64 }{
		must[point](t, kindPlain), must[swapped](t, kindPlain), custom, kept,
		must[[]point](t, kindFlat), must[string](t, kindFlat), must[text](t, kindFlat),
		must[*list](t, kindCBOR), must[*again](t, kindCBOR), must[[]string](t, kindCBOR),
		must[[]struct{ S []string }](t, kindCBOR), must[[]struct {
			S []string `cbor:"T"`
		}](t, kindCBOR),
	} {
		seen[print(p)] = i
	}
	assert.Len(t, seen, 11, "only string and text are one: %v", seen)
}

// TestConcurrentUse: one plan, many goroutines; the race detector looks on.
func TestConcurrentUse(t *testing.T) {
	p := must[map[string][]string](t, kindCBOR)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				want := map[string][]string{fmt.Sprint(g): {fmt.Sprint(i), "x"}}
				var got map[string][]string
				e, err := p.Prepare(&want, nil)
				assert.NoError(t, err)
				src := make([]byte, e.Size())
				e.CopyTo(src)
				assert.NoError(t, p.Decode(src, &got, false, nil))
				assert.Equal(t, want, got)
			}
		})
	}
	wg.Wait()
}

// TestEncodedTwice: a value can be sent again without being encoded again.
func TestEncodedTwice(t *testing.T) {
	calls := 0
	p, err := For[int](counter{&calls}, nil)
	require.NoError(t, err)
	e, err := p.Prepare(new(int), nil)
	require.NoError(t, err)
	for range 2 {
		dst := make([]byte, e.Size())
		e.CopyTo(dst)
		assert.Equal(t, "once", string(dst))
	}
	assert.Equal(t, 1, calls)
	assert.Panics(t, func() { e.CopyTo(make([]byte, 3)) })
}

type counter struct{ calls *int }

func (c counter) Marshal(any) ([]byte, error) {
	*c.calls++
	return []byte("once"), nil
}

func (counter) Unmarshal([]byte, any) error { return nil }
