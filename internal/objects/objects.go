package objects

import (
	"fmt"
	"os"
	"reflect"
)

// Shared is what a type's pointer implements whose values processes share. Package process has its documentation.
type Shared interface {
	Share() (f *os.File, data []byte, ended func(), err error)
	Adopt(f *os.File, data []byte) error
}

var shared = reflect.TypeFor[Shared]()

// Refers says which pointers cross by reference: see codec.Refers.
func Refers(t reflect.Type) (bool, error) { return t.Implements(shared), nil }

// A List are the objects that a value refers to. It implements codec.Giver.
type List struct{ objects []Shared }

// Give implements codec.Giver.
func (l *List) Give(handle any) (ref uint64, err error) {
	for i, o := range l.objects {
		if any(o) == handle {
			return uint64(i), nil
		}
	}
	l.objects = append(l.objects, handle.(Shared)) // Refers has said so
	return uint64(len(l.objects) - 1), nil
}

// Lend implements codec.Giver: nothing is.
func (l *List) Lend([]byte) (ref uint64, ok bool) { return 0, false }

// A Shipment is what one process gets of a list.
type Shipment struct {
	Files []*os.File // to be inherited; the objects' own
	Table []byte
	ended []func()
}

// Ship shares the objects with one more process.
func (l *List) Ship() (*Shipment, error) {
	s := &Shipment{}
	var items []item
	for _, o := range l.objects {
		f, data, ended, err := o.Share()
		if err != nil {
			s.Ended()
			return nil, err
		}
		items = append(items, item{s.add(f), data})
		if ended != nil {
			s.ended = append(s.ended, ended)
		}
	}
	s.Table = encode(items)
	return s, nil
}

// add returns the number of f, which many objects may have in common.
func (s *Shipment) add(f *os.File) int {
	for i, known := range s.Files {
		if known == f {
			return i
		}
	}
	s.Files = append(s.Files, f)
	return len(s.Files) - 1
}

// IsAwaited reports whether an object wants to know when the process has ended.
func (s *Shipment) IsAwaited() bool { return len(s.ended) > 0 }

// Ended is to be called once the process has ended, or could not be started.
func (s *Shipment) Ended() {
	for _, f := range s.ended {
		f()
	}
	s.ended = nil
}

// Arrivals are the objects that have come with a value. It implements codec.Taker.
type Arrivals struct {
	files   []*os.File
	items   []item
	objects []Shared // nil until they are taken
}

// Receive reads the table. The files become those of Arrivals.
func Receive(table []byte, files []*os.File) (*Arrivals, error) {
	items, err := decode(table, len(files))
	if err != nil {
		return nil, fmt.Errorf("receive shared objects: %w", err)
	}
	return &Arrivals{files: files, items: items, objects: make([]Shared, len(items))}, nil
}

// Take implements codec.Taker.
func (a *Arrivals) Take(ref uint64, t reflect.Type) (any, error) {
	if ref >= uint64(len(a.items)) {
		return nil, fmt.Errorf("object %d of %d: %w", ref, len(a.items), os.ErrInvalid)
	}
	if o := a.objects[ref]; o != nil {
		return o, nil // of another type, the codec refuses it
	}
	o := reflect.New(t.Elem()).Interface().(Shared)
	if err := o.Adopt(a.files[a.items[ref].file], a.items[ref].data); err != nil {
		return nil, err
	}
	a.objects[ref] = o
	return o, nil
}

// Borrow implements codec.Taker.
func (a *Arrivals) Borrow(ref uint64) ([]byte, error) {
	return nil, fmt.Errorf("borrow %d: nothing was lent: %w", ref, os.ErrInvalid)
}

// Close closes the files. The objects have their own.
func (a *Arrivals) Close() {
	for _, f := range a.files {
		f.Close()
	}
}
