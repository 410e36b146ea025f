package objects

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A thing remembers how it was shared and adopted.
type thing struct {
	f     *os.File
	data  string
	ended int
	err   error
}

func (o *thing) Share() (*os.File, []byte, func(), error) {
	return o.f, []byte(o.data), func() { o.ended++ }, o.err
}

func (o *thing) Adopt(f *os.File, data []byte) error {
	o.f, o.data = f, string(data)
	return nil
}

// A mere is shared without a word of its end.
type mere struct{ thing }

func (o *mere) Share() (*os.File, []byte, func(), error) { return o.f, nil, nil, nil }

func TestRefers(t *testing.T) {
	for typ, want := range map[reflect.Type]bool{
		reflect.TypeFor[*thing](): true, reflect.TypeFor[*mere](): true, reflect.TypeFor[*int](): false,
	} {
		ok, err := Refers(typ)
		assert.NoError(t, err)
		assert.Equal(t, want, ok, typ)
	}
}

func TestJourney(t *testing.T) {
	one, two, err := os.Pipe()
	require.NoError(t, err)
	defer one.Close()
	defer two.Close()
	a, b, c := &thing{f: one, data: "a"}, &mere{thing{f: two}}, &thing{f: one, data: "c"}
	var l List
	var refs []uint64
	for _, o := range []any{a, b, c, a} {
		ref, err := l.Give(o)
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	require.Equal(t, []uint64{0, 1, 2, 0}, refs)
	s, err := l.Ship()
	require.NoError(t, err)
	require.Equal(t, []*os.File{one, two}, s.Files, "a file travels once")

	in, err := Receive(s.Table, s.Files)
	require.NoError(t, err)
	got, err := in.Take(2, reflect.TypeFor[*thing]())
	require.NoError(t, err)
	require.Equal(t, &thing{f: one, data: "c"}, got)
	again, err := in.Take(2, reflect.TypeFor[*thing]())
	require.NoError(t, err)
	require.Same(t, got, again)
	got, err = in.Take(1, reflect.TypeFor[*mere]())
	require.NoError(t, err)
	require.Equal(t, &mere{thing{f: two}}, got)
	_, err = in.Take(3, reflect.TypeFor[*thing]())
	require.ErrorIs(t, err, os.ErrInvalid)
	_, err = in.Borrow(0)
	require.ErrorIs(t, err, os.ErrInvalid)

	s.Ended()
	s.Ended()
	require.Equal(t, []int{1, 0, 1}, []int{a.ended, b.ended, c.ended})
}

// If one object cannot be shared, those before it are told that the process has ended.
func TestShipFails(t *testing.T) {
	gone := errors.New("gone")
	a, b := &thing{}, &thing{err: gone}
	l := List{[]Shared{a, b}}
	_, err := l.Ship()
	require.ErrorIs(t, err, gone)
	require.Equal(t, 1, a.ended)
	require.Zero(t, b.ended)
}

func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items []item
		for range rapid.IntRange(0, 5).Draw(t, "items") {
			items = append(items, item{rapid.IntRange(0, 300).Draw(t, "file"), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")})
		}
		table := encode(items)
		got, err := decode(table, 301)
		require.NoError(t, err)
		require.Len(t, got, len(items))
		for i := range got {
			require.Equal(t, items[i].file, got[i].file)
			require.Equal(t, string(items[i].data), string(got[i].data))
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add(encode([]item{{0, []byte("abc")}, {1, nil}}), 2)
	f.Add([]byte{0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 1)
	f.Fuzz(func(t *testing.T, table []byte, files int) {
		items, err := decode(table, files)
		for _, it := range items {
			require.NoError(t, err)
			require.Less(t, it.file, files)
		}
	})
}
