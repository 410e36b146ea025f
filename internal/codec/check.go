package codec

import (
	"encoding"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

var (
	typeTime   = reflect.TypeFor[time.Time]()
	typeBigInt = reflect.TypeFor[big.Int]()
	pkgCBOR    = reflect.TypeFor[cbor.RawMessage]().PkgPath()
)

// checkCBOR returns nil if values of type t, which lies at path, come back from CBOR
// exactly, or all that do not can be told by their value, else an error that names the
// path of a field.
func checkCBOR(t reflect.Type, path string) error {
	c := checker{done: map[reflect.Type]bool{}}
	return c.check(t, path)
}

// checker walks a type once, however often it occurs, so that recursive types end.
type checker struct{ done map[reflect.Type]bool }

func refuse(path, format string, args ...any) error {
	return fmt.Errorf("%s %s", path, fmt.Sprintf(format, args...))
}

func (c *checker) check(t reflect.Type, path string) error {
	if c.done[t] {
		return nil
	}
	c.done[t] = true
	if err := lockIn(t, path); err != nil {
		return err
	}
	if t.PkgPath() == pkgCBOR {
		return refuse(path, "is a %v, whose null is not kept", t)
	}
	if leaf, err := marshals(t, path); leaf || err != nil {
		return err
	}
	switch t.Kind() {
	case reflect.Uintptr, reflect.Complex64, reflect.Complex128:
		return refuse(path, "is a %v, which CBOR does not have", t.Kind())
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return refuse(path, "is a %v, which means nothing in another process", t.Kind())
	case reflect.Interface:
		return refuse(path, "is an interface, whose concrete type is not sent")
	case reflect.Pointer:
		return c.pointer(t.Elem(), path)
	case reflect.Slice, reflect.Array:
		return c.check(t.Elem(), path+"[]")
	case reflect.Map:
		if err := c.key(t.Key(), path+"[key]"); err != nil {
			return err
		}
		return c.check(t.Elem(), path+"[]")
	case reflect.Struct:
		return c.fields(t, path, map[string]string{})
	}
	return nil
}

func (c *checker) pointer(to reflect.Type, path string) error {
	if leaf, _ := marshals(to, path); !leaf {
		switch to.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			return refuse(path, "is a pointer to a %v: which of the two is nil would be lost", to.Kind())
		}
	}
	return c.check(to, path)
}

// key refuses keys whose copies would not be found under the same key.
func (c *checker) key(t reflect.Type, path string) error {
	leaf, err := marshals(t, path)
	switch {
	case err != nil:
		return err
	case t == typeTime:
		return refuse(path, "is a time.Time, which compares its location too; use its UnixNano")
	case leaf && !comparesContents(t):
		return refuse(path, "is a %v, which compares pointers", t)
	case leaf:
		return c.check(t, path)
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Chan, reflect.Interface:
		return refuse(path, "is a %v, which another process cannot look up", t.Kind())
	case reflect.Array:
		err = c.key(t.Elem(), path+"[]")
	case reflect.Struct:
		for f := range t.Fields() {
			if f.Name == "_" {
				continue
			}
			if err = c.key(f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	return c.check(t, path)
}

// comparesContents reports whether == on values of the comparable type t compares no
// pointers, except canonical ones.
func comparesContents(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Chan, reflect.UnsafePointer:
		return false
	case reflect.Array:
		return comparesContents(t.Elem())
	case reflect.Struct:
		if t.PkgPath() == "unique" {
			return true
		}
		for f := range t.Fields() {
			if f.Name != "_" && !comparesContents(f.Type) {
				return false
			}
		}
	}
	return true
}

// fields checks t's fields and, as if they were t's own, those of structs that it
// embeds. names holds what was seen so far, by its name in CBOR.
func (c *checker) fields(t reflect.Type, path string, names map[string]string) error {
	for f := range t.Fields() {
		at := path + "." + f.Name
		name, err := fieldName(f, at)
		switch {
		case err != nil:
			return err
		case f.Name == "_":
			continue
		case promoted(f):
			if err := c.embedded(f, at, names); err != nil {
				return err
			}
			continue
		case !f.IsExported():
			if err := lockIn(f.Type, at); err != nil {
				return err
			}
			return refuse(at, "is not exported and would be lost")
		case names[name] != "":
			return refuse(at, "has the same name in CBOR as %s: %q", names[name], name)
		}
		names[name] = at
		if err := c.check(f.Type, at); err != nil {
			return err
		}
	}
	return nil
}

// promoted reports whether the encoder writes f's fields instead of f.
func promoted(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, _, _ := strings.Cut(tag(f), ",")
	return f.Anonymous && t.Kind() == reflect.Struct && name == ""
}

func (c *checker) embedded(f reflect.StructField, path string, names map[string]string) error {
	if f.Type.Kind() == reflect.Pointer {
		return refuse(path, "is an embedded pointer, whose nil may be lost; give the field a name")
	}
	if leaf, err := marshals(f.Type, path); leaf || err != nil {
		return refuse(path, "is an embedded %v, of which no fields are written; give the field a name", f.Type)
	}
	return c.fields(f.Type, path, names)
}

// tag is what the encoder goes by: `cbor` or, without it, `json`.
func tag(f reflect.StructField) string {
	if tag := f.Tag.Get("cbor"); tag != "" {
		return tag
	}
	return f.Tag.Get("json")
}

func fieldName(f reflect.StructField, path string) (string, error) {
	if f.Name == "_" {
		if tag := f.Tag.Get("cbor"); tag != "" && tag != "-" {
			return "", refuse(path, "has the tag %q, which changes how its struct is written", tag)
		}
		return "", nil
	}
	tag := tag(f)
	if tag == "-" {
		return "", refuse(path, `has the tag "-" and would be lost; a tag cbor:%q keeps it`, f.Name)
	}
	name, options, _ := strings.Cut(tag, ",")
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty", "omitzero", "keyasint":
			return "", refuse(path, "has the tag option %q, which does not keep every value; a tag cbor:%q overrides it",
				option, f.Name)
		}
	}
	if name == "" {
		name = f.Name
	}
	return name, nil
}

// pairs of methods that the encoder uses, in the order in which it looks for them.
var pairs = []struct {
	marshal, unmarshal         reflect.Type
	marshalName, unmarshalName string
}{
	{reflect.TypeFor[cbor.Marshaler](), reflect.TypeFor[cbor.Unmarshaler](), "MarshalCBOR", "UnmarshalCBOR"},
	{reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](), "MarshalBinary", "UnmarshalBinary"},
}

// marshals reports whether t's values are written by methods of its own or, for
// time.Time and big.Int, of the encoder's, instead of element by element.
func marshals(t reflect.Type, path string) (leaf bool, err error) {
	if t == typeTime || t == typeBigInt {
		return true, nil
	}
	p := reflect.PointerTo(t)
	for _, pair := range pairs {
		out, in := p.Implements(pair.marshal), p.Implements(pair.unmarshal)
		switch {
		case !out && !in:
			continue
		case inherits(t, pair.marshal) || inherits(t, pair.unmarshal):
			return false, refuse(path, "embeds a type with %s or %s, which may stand for the whole; give the embedded field a name",
				pair.marshalName, pair.unmarshalName)
		case !in:
			return false, refuse(path, "has %s but no %s", pair.marshalName, pair.unmarshalName)
		case !out:
			return false, refuse(path, "has %s but no %s", pair.unmarshalName, pair.marshalName)
		}
		return true, nil
	}
	return false, nil
}

// inherits reports whether t, a struct, embeds something with the methods of iface. Whether t
// has methods of its own besides cannot be told, so it is refused either way.
func inherits(t, iface reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range t.Fields() {
		if f.Anonymous && (f.Type.Implements(iface) || reflect.PointerTo(f.Type).Implements(iface)) {
			return true
		}
	}
	return false
}
