package codec

//lint:file-ignore U1000 fields that are there for their types

import (
	"errors"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errBroken = errors.New("cannot be shared")

// refers is what a test's plans go by.
func refers(t reflect.Type) (bool, error) {
	switch t {
	case reflect.TypeFor[*Queue](), reflect.TypeFor[Room]():
		return true, nil
	case reflect.TypeFor[*broken]():
		return false, errBroken
	}
	return false, nil
}

func refusedHandle[T any](want string) func(*testing.T) {
	return func(t *testing.T) {
		p, err := For[T](nil, refers)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "choose codec for "+reflect.TypeFor[T]().String()+": ")
		assert.Nil(t, p)
	}
}

type (
	chain struct {
		Next  *chain
		Links map[string][]chain
		Last  struct{ Q *Queue }
	}
	loopWithout struct {
		Next *loopWithout
		By   map[string][]loopWithout
	}
	embeds       struct{ *Queue }
	EmbedsBehind struct{ *ends }
)

func TestRefusedHandles(t *testing.T) {
	const is = " is a *codec.Queue, which crosses as a value of its own or a field of a struct, not "
	for name, test := range map[string]func(*testing.T){
		"slice":           refusedHandle[[]*Queue]("[]*codec.Queue[]" + is + "within a slice"),
		"slice of struct": refusedHandle[struct{ L []ends }](".L[].In" + is + "within a slice"),
		"array":           refusedHandle[struct{ A [2]*Queue }](".A[]" + is + "within an array"),
		"map":             refusedHandle[map[string]*Queue]("[]" + is + "within a map"),
		"key":             refusedHandle[map[*Queue]int]("map[*codec.Queue]int[key]" + is + "within a map"),
		"pointer":         refusedHandle[**Queue]("**codec.Queue" + is + "behind a pointer"),
		"behind pointer": refusedHandle[struct {
			Q *Queue
			P *ends
		}](".P.In" + is + "behind a pointer"),
		"recursive":        refusedHandle[struct{ Chain *chain }](".Chain.Last.Q" + is + "behind a pointer"),
		"embedded":         refusedHandle[embeds]("codec.embeds.Queue" + is + "as an embedded pointer"),
		"embedded pointer": refusedHandle[EmbedsBehind]("codec.EmbedsBehind.ends.In" + is + "behind a pointer"),
		"of another name":  refusedHandle[[]Room]("[] is a codec.Room, which crosses as a value of its own"),
		"unexported": refusedHandle[struct {
			Q *Queue
			n int
		}](".n is not exported and would be lost"),
		"unexported handle": refusedHandle[struct{ E struct{ q *Queue } }](".E.q is not exported and would be lost"),
		"lock": refusedHandle[struct {
			Q *Queue
			S struct{ l locked }
		}](".S.l.mu is a sync.Mutex"),
		"not for CBOR": refusedHandle[struct {
			Q *Queue
			S struct{ F []func() }
		}](".S.F[] is a func"),
		"unexported in CBOR": refusedHandle[struct {
			Q *Queue
			L []locked
		}](".L[].mu is a sync.Mutex"),
	} {
		t.Run(name, test)
	}
}

func TestBrokenHandles(t *testing.T) {
	for want, f := range map[string]func() error{
		"*codec.broken: ":            func() error { _, err := For[*broken](nil, refers); return err },
		"codec.b.S.B: ":              func() error { type b struct{ S struct{ B *broken } }; _, err := For[b](nil, refers); return err },
		"map[string]*codec.broken[]": func() error { _, err := For[map[string]*broken](nil, refers); return err },
	} {
		assert.ErrorIs(t, f(), errBroken)
		assert.ErrorContains(t, f(), want)
	}
}

// TestReferersLeaveOthersAlone: a type without handles has the plan that it always had.
func TestReferersLeaveOthersAlone(t *testing.T) {
	same := func(a, b interface{ Fingerprint() uint64 }) {
		t.Helper()
		assert.Equal(t, a.Fingerprint(), b.Fingerprint())
	}
	plain, err := For[point](nil, refers)
	require.NoError(t, err)
	same(must[point](t, kindPlain), plain)
	flat, err := For[job](nil, refers)
	require.NoError(t, err)
	same(must[job](t, kindFlat), flat)
	assert.False(t, flat.Handles())
	recursive, err := For[loopWithout](nil, refers)
	require.NoError(t, err)
	same(must[loopWithout](t, kindCBOR), recursive)
	assert.False(t, recursive.Lends())
	_, err = For[*Queue](nil, nil)
	assert.ErrorContains(t, err, "codec.Queue.head is not exported", "nobody refers")
	custom, err := For[[]*Queue](jsonCodec{}, refers)
	require.NoError(t, err, "a codec of its own is not looked at")
	assert.False(t, custom.Handles())
}

func TestHandleFingerprints(t *testing.T) {
	type again Queue
	anything := func(reflect.Type) (bool, error) { return true, nil }
	seen := map[uint64]bool{}
	add := func(p interface{ Fingerprint() uint64 }, err error) {
		require.NoError(t, err)
		assert.Equal(t, p.Fingerprint(), p.Fingerprint())
		seen[p.Fingerprint()] = true
	}
	add(For[*Queue](nil, anything))
	add(For[*Queue](nil, refers)) // the same
	add(For[*again](nil, anything))
	add(For[struct{ A *Queue }](nil, anything))
	add(For[struct{ B *Queue }](nil, anything))
	add(For[struct {
		A *Queue
		N int64
	}](nil, anything))
	add(For[struct {
		A *Queue
		N float64
	}](nil, anything))
	add(For[struct {
		A *Queue
		N map[int]tree
	}](nil, refers))
	add(For[struct {
		A *Queue
		N map[int]forest
	}](nil, refers))
	assert.Len(t, seen, 8)
}
