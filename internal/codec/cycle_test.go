package codec

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type (
	ring  struct{ Next *ring }
	loop  map[string]loop
	ouro  []ouro
	graph struct {
		Names []string
		Edges map[int][]*graph
	}
)

func prepareError[T any](t *testing.T, v T) error {
	t.Helper()
	p := must[T](t, kindCBOR)
	_, err := p.Prepare(&v, nil)
	require.Error(t, err)
	return err
}

func TestCyclicValues(t *testing.T) {
	one := &ring{}
	one.Next = one
	assert.ErrorContains(t, prepareError(t, one), "encode *codec.ring: value is cyclic: a *codec.ring leads back to itself")

	first := &ring{}
	last := first
	for range 500 {
		last = &ring{last}
	}
	first.Next = last
	assert.ErrorContains(t, prepareError(t, *first), "cyclic")

	m := loop{}
	m["self"] = m
	assert.ErrorContains(t, prepareError(t, m), "a codec.loop leads back")

	s := ouro{nil, nil}
	s[1] = s
	assert.ErrorContains(t, prepareError(t, s), "a codec.ouro leads back")

	g := &graph{Edges: map[int][]*graph{}}
	g.Edges[1] = []*graph{{}, {}, {Edges: g.Edges}}
	assert.ErrorContains(t, prepareError(t, g), "cyclic")
}

func TestTooDeepValues(t *testing.T) {
	var l *list
	var f forest
	for range MaxDepth {
		l, f = &list{Next: l}, forest{f}
	}
	assert.ErrorContains(t, prepareError(t, &list{Next: l}), "nested deeper than 10000 levels at a codec.list")
	assert.ErrorContains(t, prepareError(t, forest{f}), "nested deeper than 10000 levels at a codec.forest")

	// A cycle longer than the limit is too deep before it is seen to be one.
	first := &ring{}
	last := first
	for range 2 * MaxDepth {
		last = &ring{last}
	}
	first.Next = last
	assert.ErrorContains(t, prepareError(t, first), "nested deeper")
}

// TestWideValues: only what lies inside of each other adds up.
func TestWideValues(t *testing.T) {
	wide := make(forest, MaxDepth+1)
	for i := range wide {
		wide[i] = forest{}
	}
	requireRoundTrip(t, must[forest](t, kindCBOR), &wide)
}

// TestSharedValues: what several paths lead to is no cycle, at any depth.
func TestSharedValues(t *testing.T) {
	leaf := &tree{Name: "leaf"}
	v := tree{ByName: map[string]*tree{"a": leaf, "b": leaf}}
	for range trackDepth {
		v = tree{Children: []tree{v}, ByName: map[string]*tree{"leaf": leaf, "again": leaf}}
	}
	requireRoundTrip(t, must[tree](t, kindCBOR), &v)

	nested := make(ouro, 2)
	nested[1] = nested[:1] // the same memory, but no cycle: it ends before it comes back
	deep := nested
	for range trackDepth {
		deep = ouro{deep}
	}
	requireRoundTrip(t, must[ouro](t, kindCBOR), &deep)

	part := ouro{nil, {}}
	requireRoundTrip(t, must[ouro](t, kindCBOR), &ouro{part, part, part[1:]})
}

func TestTimesThatAreNotKept(t *testing.T) {
	date := func(year int, zone *time.Location) map[string]time.Time {
		return map[string]time.Time{"": time.Date(year, 6, 1, 12, 0, 0, 0, zone)}
	}
	must[map[string]time.Time](t, kindCBOR)
	assert.ErrorContains(t, prepareError(t, date(1890, time.FixedZone("LMT", 53*60+28))), "whole number of minutes")
	assert.ErrorContains(t, prepareError(t, date(2000, time.FixedZone("far", 24*3600))), "within a day")
	assert.ErrorContains(t, prepareError(t, date(2000, time.FixedZone("far", -24*3600))), "within a day")
	assert.ErrorContains(t, prepareError(t, date(10_000, time.UTC)), "not between 0 and 9999")
	assert.ErrorContains(t, prepareError(t, date(-1, time.UTC)), "not between 0 and 9999")
	assert.ErrorContains(t, prepareError(t, []time.Time{time.Time{}.In(time.FixedZone("", 3600))}), "zone other than UTC")
	assert.ErrorContains(t, prepareError(t, struct{ T *time.Time }{&time.Time{}}), "pointer to the zero time")
	zero := time.Time{}.In(time.FixedZone("UTC by another name", 0))
	assert.ErrorContains(t, prepareError(t, &zero), "pointer to the zero time")
}

func TestSignallingFloat32(t *testing.T) {
	type named float32
	bits := uint32(0xffa00001)
	signalling := math.Float32frombits(bits)
	assert.ErrorContains(t, prepareError(t, map[string][]float32{"": {1, signalling}}), "0xffa00001")
	assert.ErrorContains(t, prepareError(t, map[named]int{named(signalling): 1}), "0xffa00001")
	assert.ErrorContains(t, prepareError(t, map[string][2]named{"": {1, named(signalling)}}), "0xffa00001")

	quiet := map[string]float32{"": math.Float32frombits(0xffe00001)}
	requireRoundTrip(t, must[map[string]float32](t, kindCBOR), &quiet)
}

// TestDullTypesAreNotWalked: only types in which a value can be wrong pay for a look.
func TestDullTypesAreNotWalked(t *testing.T) {
	assert.Nil(t, must[map[string][]map[int]*string](t, kindCBOR).values)
	assert.NotNil(t, must[map[string][]map[int]*list](t, kindCBOR).values)
	walked := must[struct {
		A map[string]string
		B struct{ C, D []*time.Time }
		E [][]int
	}](t, kindCBOR).values
	require.Len(t, walked.fields, 1)
	assert.Equal(t, 1, walked.fields[0].index)
}
