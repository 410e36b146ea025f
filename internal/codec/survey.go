package codec

import (
	"fmt"
	"hash"
	"hash/fnv"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// A survey finds the handles in a type and makes the plan for it if there are any.
type survey struct {
	refers    Refers
	holds     map[reflect.Type]bool // handles, and structs with handles in their fields, at any depth
	empty     map[reflect.Type]bool // what lies elsewhere and has no handle, so that recursive types end
	structure hash.Hash64           // of the fields that flatten has met
}

func newSurvey(refers Refers) *survey {
	return &survey{refers: refers, holds: map[reflect.Type]bool{}, empty: map[reflect.Type]bool{},
		structure: fnv.New64a()}
}

// find reports whether t is a handle or a struct with handles. A handle in any other
// place is an error.
func (s *survey) find(t reflect.Type, path string) (bool, error) {
	if is, err := s.handle(t, path); is || err != nil {
		return is, err
	}
	if leaf, _ := marshals(t, path); leaf || t.Kind() != reflect.Struct {
		return false, s.below(t, path, "")
	}
	for f := range t.Fields() {
		if f.Name == "_" {
			continue
		}
		at := path + "." + f.Name
		found, err := s.find(f.Type, at)
		if err != nil {
			return false, err
		}
		if found && f.Anonymous && f.Type.Kind() == reflect.Pointer {
			return false, misplaced(f.Type, at, "as an embedded pointer")
		}
		s.holds[t] = s.holds[t] || found
	}
	return s.holds[t], nil
}

// handle reports whether t is a handle.
func (s *survey) handle(t reflect.Type, path string) (bool, error) {
	if t.Kind() != reflect.Pointer || s.holds[t] {
		return s.holds[t] && t.Kind() == reflect.Pointer, nil
	}
	is, err := s.refers(t)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	s.holds[t] = is
	return is, nil
}

func misplaced(t reflect.Type, path, where string) error {
	return refuse(path, "is a %v, which crosses as a value of its own or a field of a struct, not %s", t, where)
}

// elsewhere returns an error if t, which is no value of its own and no field of one, is
// or leads to a handle. What marshals itself is taken at its word.
func (s *survey) elsewhere(t reflect.Type, path, where string) error {
	switch is, err := s.handle(t, path); {
	case err != nil:
		return err
	case is:
		return misplaced(t, path, where)
	}
	return s.below(t, path, where)
}

func (s *survey) below(t reflect.Type, path, where string) error {
	if leaf, _ := marshals(t, path); leaf || s.empty[t] {
		return nil
	}
	s.empty[t] = true
	switch t.Kind() {
	case reflect.Pointer:
		return s.elsewhere(t.Elem(), path, "behind a pointer")
	case reflect.Slice:
		return s.elsewhere(t.Elem(), path+"[]", "within a slice")
	case reflect.Array:
		return s.elsewhere(t.Elem(), path+"[]", "within an array")
	case reflect.Map:
		if err := s.elsewhere(t.Key(), path+"[key]", "within a map"); err != nil {
			return err
		}
		return s.elsewhere(t.Elem(), path+"[]", "within a map")
	case reflect.Struct:
		for f := range t.Fields() {
			if f.Name == "_" {
				continue
			}
			if err := s.elsewhere(f.Type, path+"."+f.Name, where); err != nil {
				return err
			}
		}
	}
	return nil
}

// flatten is the function flatten for what find has found handles in: a field that is not flat
// and has no handles crosses as CBOR.
func (s *survey) flatten(ops []op, t reflect.Type, off uintptr, path string) ([]op, error) {
	if s.holds[t] && t.Kind() == reflect.Struct {
		return s.fields(ops, t, off, path)
	}
	if s.holds[t] {
		fmt.Fprintf(s.structure, "%s@%d handle %s.%v;", path, off, t.Elem().PkgPath(), t)
		return append(ops, op{kind: opHandle, off: off, typ: t, path: path}), nil
	}
	// Tried apart: what is not flat must not leave a part of it behind.
	if _, ok := flatten(nil, t, 0, path); ok {
		fmt.Fprintf(s.structure, "%s@%d flat %x;", path, off, layout.Fingerprint(t))
		ops, _ = flatten(ops, t, off, path)
		return ops, nil
	}
	if err := checkCBOR(t, path); err != nil {
		return nil, err
	}
	fmt.Fprintf(s.structure, "%s@%d CBOR %s.%v %x;", path, off, t.PkgPath(), t, layout.Fingerprint(t))
	return append(ops, op{kind: opCBOR, off: off, typ: t, values: valueChecks(t), path: path}), nil
}

func (s *survey) fields(ops []op, t reflect.Type, off uintptr, path string) (_ []op, err error) {
	for f := range t.Fields() {
		at := path + "." + f.Name
		switch {
		case f.Name == "_":
			continue
		case !f.IsExported():
			if err := lockIn(f.Type, at); err != nil {
				return nil, err
			}
			return nil, refuse(at, "is not exported and would be lost")
		}
		if ops, err = s.flatten(ops, f.Type, off+f.Offset, at); err != nil {
			return nil, err
		}
	}
	return ops, nil
}
