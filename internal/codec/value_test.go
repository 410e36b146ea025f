package codec

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// must returns the plan for T, which has to be of kind k.
func must[T any](t require.TestingT, k kind) *Plan[T] {
	p, err := For[T](nil, nil)
	require.NoError(t, err)
	require.Equal(t, k, p.kind)
	return p
}

// encode writes *v to memory that starts and ends exactly there, with dirt behind its capacity.
func encode[T any](t require.TestingT, p *Plan[T], v *T) []byte {
	e, err := p.Prepare(v, nil)
	require.NoError(t, err)
	dst := bytes.Repeat([]byte{0xa5}, e.Size()+16)
	n := e.Size()
	e.CopyTo(dst)
	require.Equal(t, bytes.Repeat([]byte{0xa5}, 16), dst[n:], "wrote behind its size")
	return dst[:n]
}

// requireRoundTrip sends *v there and back, with and without views, over a destination
// that is not the zero value.
func requireRoundTrip[T any](t require.TestingT, p *Plan[T], v *T) {
	src := encode(t, p, v)
	for _, view := range []bool{false, true} {
		got := *v
		require.NoError(t, p.Decode(src, &got, view, nil))
		require.NoError(t, same(reflect.ValueOf(v).Elem(), reflect.ValueOf(&got).Elem(), p.name), "view %v", view)
	}
}

func checkRoundTrips[T any](t *testing.T, k kind) {
	t.Helper()
	p := must[T](t, k)
	t.Run(p.name, rapid.MakeCheck(func(t *rapid.T) {
		var v T
		fill(t, reflect.ValueOf(&v).Elem(), 4)
		requireRoundTrip(t, p, &v)
	}))
}

var strange = []string{"", "\x00", "\xff\xfe", "a\xc3", "\xed\xa0\x80", "żółć\U0001f980", string(make([]byte, 300))}

var zones = []*time.Location{time.UTC, time.Local, time.FixedZone("", 0), time.FixedZone("x", -23*3600-59*60),
	time.FixedZone("y", 23*3600+59*60), time.FixedZone("z", 5*3600+45*60)}

// fill sets v to any value of its type that a plan must keep.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch p := pointer(v).(type) {
	case *time.Time:
		*p = time.Unix(rapid.Int64Range(-62135510400, 253402214400).Draw(t, "sec"),
			rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(rapid.SampledFrom(zones).Draw(t, "zone"))
		return
	case *big.Int:
		p.SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "big"))
		if rapid.Bool().Draw(t, "negative") {
			p.Neg(p)
		}
		return
	case *netip.Addr:
		*p = rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("fe80::1%eth0")}).Draw(t, "addr")
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int") >> (64 - v.Type().Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(rapid.Uint64().Draw(t, "uint") >> (64 - v.Type().Bits()))
	case reflect.Float32, reflect.Float64, reflect.Complex128:
		fillFloat(t, v)
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.SampledFrom(strange), rapid.String()).Draw(t, "string"))
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), depth-1)
		}
	case reflect.Struct:
		for f, field := range v.Fields() {
			if field.CanSet() || f.Anonymous {
				fill(t, field, depth)
			}
		}
	default:
		fillReference(t, v, depth)
	}
}

func fillFloat(t *rapid.T, v reflect.Value) {
	switch f := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.Inf(1), math.Inf(-1),
		math.Copysign(0, -1), math.NaN(), math.Float64frombits(0x7ff0000000000001), math.Float64frombits(0xfff8dead0000beef),
		math.Float64frombits(0x7ff4000000000000), math.SmallestNonzeroFloat64})).Draw(t, "float"); v.Kind() {
	case reflect.Float64:
		v.SetFloat(f)
	case reflect.Float32:
		v.SetFloat(float64(float32(f)))
	default:
		v.SetComplex(complex(f, -f))
	}
}

func fillReference(t *rapid.T, v reflect.Value, depth int) {
	n := rapid.IntRange(-1, 3).Draw(t, "len")
	if n < 0 || depth <= 0 {
		return // nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), depth-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, depth-1)
			fill(t, elem, depth-1)
			v.SetMapIndex(key, elem)
		}
	default:
		panic(v.Kind())
	}
}

// same is reflect.DeepEqual by bits: NaNs equal themselves, zeros have signs, and
// times and big numbers are equal if they say the same.
func same(a, b reflect.Value, path string) error {
	if !sameHere(a, b) {
		return fmt.Errorf("%s: %v is not %v", path, a, b)
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if a.IsNil() != b.IsNil() {
			return fmt.Errorf("%s: nil is not empty", path)
		}
		return sameReference(a, b, path)
	case reflect.Array:
		return sameElements(a, b, path)
	case reflect.Struct:
		for f, field := range a.Fields() {
			if !f.IsExported() && !f.Anonymous {
				continue
			}
			if err := same(field, b.FieldByIndex(f.Index), path+"."+f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameHere compares what has no parts.
func sameHere(a, b reflect.Value) bool {
	switch x := pointer(a).(type) {
	case *time.Time:
		y := b.Addr().Interface().(*time.Time)
		_, offset := x.Zone()
		_, got := y.Zone()
		return x.Equal(*y) && offset == got
	case *big.Int:
		return x.Cmp(b.Addr().Interface().(*big.Int)) == 0
	case *netip.Addr:
		return *x == *b.Addr().Interface().(*netip.Addr)
	case *float32:
		return math.Float32bits(*x) == math.Float32bits(*b.Addr().Interface().(*float32))
	}
	switch a.Kind() {
	case reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Complex128:
		x, y := a.Complex(), b.Complex()
		return math.Float64bits(real(x)) == math.Float64bits(real(y)) && math.Float64bits(imag(x)) == math.Float64bits(imag(y))
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array, reflect.Struct:
		return true
	}
	return a.Equal(b)
}

func sameReference(a, b reflect.Value, path string) error {
	if a.IsNil() {
		return nil
	}
	switch a.Kind() {
	case reflect.Pointer:
		return same(a.Elem(), b.Elem(), path)
	case reflect.Slice:
		return sameElements(a, b, path)
	}
	if a.Len() != b.Len() {
		return fmt.Errorf("%s: %d keys are not %d", path, a.Len(), b.Len())
	}
	for iter := a.MapRange(); iter.Next(); {
		if !iter.Key().Equal(iter.Key()) {
			continue // a NaN; it was counted
		}
		elem := b.MapIndex(iter.Key())
		if !elem.IsValid() {
			return fmt.Errorf("%s: key %v is lost", path, iter.Key())
		}
		if err := same(addressable(iter.Value()), addressable(elem), path+"[]"); err != nil {
			return err
		}
	}
	return nil
}

func sameElements(a, b reflect.Value, path string) error {
	if a.Len() != b.Len() {
		return fmt.Errorf("%s: %d elements are not %d", path, a.Len(), b.Len())
	}
	for i := range a.Len() {
		if err := same(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

// pointer returns a pointer to v, or nil for an embedded struct that is not exported.
func pointer(v reflect.Value) any {
	if !v.CanInterface() {
		return nil
	}
	return v.Addr().Interface()
}

func addressable(v reflect.Value) reflect.Value {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.Elem()
}
