package codec

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
)

// A node says what to look at in the values of a type before they are encoded:
// times, float32 NaNs, and how deep recursive types really go. Where there is nothing to see a
// node is nil, so that most values are not walked at all.
type node struct {
	kind      reflect.Kind
	time      bool
	key, elem *node // of a map; of a map, slice, array or pointer
	fields    []fieldNode
}

type fieldNode struct {
	index int
	*node
}

// valueChecks returns the checks for values of t, which checkCBOR has accepted.
func valueChecks(t reflect.Type) *node {
	b := nodeBuilder{state: map[reflect.Type]state{}, nodes: map[reflect.Type]*node{}}
	b.find(t)
	return b.build(t)
}

type state uint8

const (
	stateOpen state = iota + 1 // being looked at: who meets it again has found a cycle
	stateDull                  // nothing to check below
	stateKeen                  // something to check
)

type nodeBuilder struct {
	state map[reflect.Type]state
	nodes map[reflect.Type]*node
}

// find reports whether something below t has to be checked.
func (b *nodeBuilder) find(t reflect.Type) bool {
	switch b.state[t] {
	case stateOpen, stateKeen:
		return true
	case stateDull:
		return false
	}
	b.state[t] = stateOpen
	keen := t == typeTime || t.Kind() == reflect.Float32
	for _, part := range parts(t) {
		keen = b.find(part) || keen
	}
	b.state[t] = stateDull
	if keen {
		b.state[t] = stateKeen
	}
	return keen
}

// parts lists the types that t's values are made of, as the encoder sees them.
func parts(t reflect.Type) (parts []reflect.Type) {
	if leaf, _ := marshals(t, ""); leaf {
		return nil
	}
	switch t.Kind() {
	case reflect.Map:
		return []reflect.Type{t.Key(), t.Elem()}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return []reflect.Type{t.Elem()}
	case reflect.Struct:
		for f := range t.Fields() {
			if f.Name != "_" {
				parts = append(parts, f.Type)
			}
		}
	}
	return parts
}

func (b *nodeBuilder) build(t reflect.Type) *node {
	if n, ok := b.nodes[t]; ok || b.state[t] != stateKeen {
		return n
	}
	n := &node{kind: t.Kind(), time: t == typeTime}
	b.nodes[t] = n
	if n.time {
		return n
	}
	switch t.Kind() {
	case reflect.Map:
		n.key, n.elem = b.build(t.Key()), b.build(t.Elem())
	case reflect.Pointer, reflect.Slice, reflect.Array:
		n.elem = b.build(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if f.Name == "_" {
				continue
			}
			if sub := b.build(f.Type); sub != nil {
				n.fields = append(n.fields, fieldNode{f.Index[0], sub})
			}
		}
	}
	return n
}

// checkValue returns an error if *v, v being a pointer, would not come back
// exactly, or would overflow the encoder's stack.
func checkValue(n *node, v any) error {
	if n == nil {
		return nil
	}
	var w walk
	return w.value(n, reflect.ValueOf(v).Elem())
}

// walk is one look at a value.
type walk struct {
	depth int
	path  map[place]bool // what is being looked at, from trackDepth on
}

// place is a map, a slice or what a pointer points to.
type place struct {
	t   reflect.Type
	at  uintptr
	len int
}

// trackDepth is where a walk begins to remember its path. A cycle leads there soon;
// other values hardly ever do, and cost nothing.
const trackDepth = 100

func (w *walk) value(n *node, v reflect.Value) error {
	switch {
	case n.time:
		return checkTime(v)
	case n.kind == reflect.Float32:
		return checkFloat32(v)
	}
	switch n.kind {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if v.IsNil() {
			return nil
		}
		return w.reference(n, v)
	}
	return w.level(n, v)
}

// reference looks at what a pointer, slice or map leads to: the only ways to a cycle.
func (w *walk) reference(n *node, v reflect.Value) error {
	if w.depth >= trackDepth {
		here := place{t: v.Type(), at: v.Pointer()}
		if n.kind == reflect.Slice {
			here.len = v.Len()
		}
		if w.path[here] {
			return fmt.Errorf("value is cyclic: a %v leads back to itself", v.Type())
		}
		if w.path == nil {
			w.path = map[place]bool{}
		}
		w.path[here] = true
		defer delete(w.path, here)
	}
	if n.kind != reflect.Pointer {
		return w.level(n, v)
	}
	if n.elem.time && v.Interface().(*time.Time).IsZero() {
		return errors.New("value has a pointer to the zero time.Time, which would come back as a nil pointer")
	}
	return w.value(n.elem, v.Elem())
}

// level looks into a value that is one level of nesting in CBOR.
func (w *walk) level(n *node, v reflect.Value) (err error) {
	if w.depth++; w.depth > MaxDepth {
		return fmt.Errorf("value is nested deeper than %d levels at a %v", MaxDepth, v.Type())
	}
	switch n.kind {
	case reflect.Struct:
		err = w.fields(n, v)
	case reflect.Map:
		err = w.pairs(n, v)
	default:
		err = w.elements(n, v)
	}
	w.depth--
	return err
}

func (w *walk) fields(n *node, v reflect.Value) error {
	for _, f := range n.fields {
		if err := w.value(f.node, v.Field(f.index)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) elements(n *node, v reflect.Value) error {
	for i := range v.Len() {
		if err := w.value(n.elem, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) pairs(n *node, v reflect.Value) error {
	key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	for iter := v.MapRange(); iter.Next(); {
		if n.key != nil {
			key.SetIterKey(iter)
			if err := w.value(n.key, key); err != nil {
				return err
			}
		}
		if n.elem != nil {
			elem.SetIterValue(iter)
			if err := w.value(n.elem, elem); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkTime refuses what RFC 3339 text, and null for the zero time, do not keep.
func checkTime(v reflect.Value) error {
	t := v.Interface().(time.Time)
	const day = 24 * 60 * 60
	_, offset := t.Zone()
	switch year := t.Year(); {
	case t.IsZero() && offset != 0:
		return errors.New("value has the zero time.Time in a zone other than UTC, which would be lost")
	case year < 0 || year > 9999:
		return fmt.Errorf("value has the time.Time %v, whose year is not between 0 and 9999", t)
	case offset%60 != 0 || offset <= -day || offset >= day:
		return fmt.Errorf("value has the time.Time %v, whose zone is not a whole number of minutes within a day", t)
	}
	return nil
}

// checkFloat32 refuses signalling NaNs: on their way through a float64 they turn quiet.
func checkFloat32(v reflect.Value) error {
	if !math.IsNaN(v.Float()) {
		return nil
	}
	const quiet = 1 << 22
	// Only a copy of the bits tells, and only by way of a pointer.
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	if bits := math.Float32bits(*p.Convert(reflect.TypeFor[*float32]()).Interface().(*float32)); bits&quiet == 0 {
		return fmt.Errorf("value has the float32 NaN %#08x, a signalling one, which would come back as another", bits)
	}
	return nil
}
