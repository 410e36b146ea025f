package layout

import (
	"fmt"
	"reflect"
	"sync"
)

// Viewable reports, as an error that names the field, why memory that others may
// write cannot be used in place as values of type t; nil means that it can. It refuses
// what [PointerFree] refuses, and every bool: whoever else writes the memory could
// make it neither true nor false, at any time, so that normalising it once
// does not help.
func Viewable(t reflect.Type) error {
	if known, ok := viewable.Load(t); ok {
		err, _ := known.(error)
		return err
	}
	err := PointerFree(t)
	if err == nil {
		if path := boolPath(t, t.String()); path != "" {
			err = fmt.Errorf("%s is a bool, which another process can make neither true nor false; use a uint8", path)
		}
	}
	viewable.Store(t, err)
	return err
}

var viewable sync.Map // reflect.Type -> error or nil

// boolPath names the first bool in a value of the pointer-free type t, or is "".
func boolPath(t reflect.Type, path string) string {
	switch t.Kind() {
	case reflect.Bool:
		return path
	case reflect.Array:
		if t.Len() > 0 {
			return boolPath(t.Elem(), path+"[]")
		}
	case reflect.Struct:
		for f := range t.Fields() {
			if found := boolPath(f.Type, path+"."+f.Name); found != "" {
				return found
			}
		}
	}
	return ""
}
