package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/ring"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// A thing is a structure of shmkit's in some memory.
type thing struct {
	Off     int64        `json:"offset"`
	Kind    string       `json:"kind"`
	Size    int64        `json:"size_bytes"`
	Facts   []thingFact  `json:"facts"`
	Parties []thingParty `json:"processes"`
	Broken  []string     `json:"broken"`
}

type thingFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type thingParty struct {
	Pid   int    `json:"pid"`
	Alive bool   `json:"alive"`
	What  string `json:"what"`
}

// otherLayout is the kind of what another version has made.
const otherLayout = "other layout"

// searched is how much of a memory is searched for structures that are not at its start: as much as small objects of a process lie together in.
const searched = 1 << 20

// thingsIn finds the structures in the size bytes of r, and looks at each.
func thingsIn(r io.ReaderAt, size int64) ([]thing, error) {
	front := layout.SliceBytes(make([]uint64, min(searched, size)/8))
	if _, err := r.ReadAt(front, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	all := []thing{}
	magic := binary.NativeEndian.AppendUint64(nil, layout.Magic)
	for off := int64(0); off+layout.HeaderSize <= int64(len(front)); {
		if !bytes.HasPrefix(front[off:], magic) {
			off += layout.Line
			continue
		}
		one, err := thingAt(r, off, size-off)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
		off += layout.Align(max(one.Size, layout.Line), layout.Line)
	}
	return all, nil
}

// kindsIn names the kinds of structures in the size bytes of r, each once, without looking at more than their headers.
func kindsIn(r io.ReaderAt, size int64) []string {
	kinds := []string{}
	front := layout.SliceBytes(make([]uint64, min(searched, max(size, 0))/8))
	if _, err := r.ReadAt(front, 0); err != nil {
		return kinds
	}
	for off := int64(0); off+layout.HeaderSize <= int64(len(front)); {
		kind, n, _, err := layout.HeaderOf(front[off:])
		switch {
		case errors.Is(err, layout.ErrVersion):
			kinds = append(kinds, otherLayout)
			n = layout.Line
		case err != nil:
			n = layout.Line
		case !slices.Contains(kinds, kind.String()):
			kinds = append(kinds, kind.String())
		}
		off += layout.Align(int64(min(max(n, layout.Line), searched)), layout.Line)
	}
	return kinds
}

// someOf lists the first few.
func someOf(names []string) string {
	const most = 3
	if len(names) > most+1 {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("%d more kinds", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// thingAt looks at the structure at off. Of one that is not understood it says so.
func thingAt(r io.ReaderAt, off, room int64) (thing, error) {
	rep, err := inspectThing(r, off, room)
	t := thing{Off: off, Facts: []thingFact{}, Parties: []thingParty{}, Broken: []string{}}
	switch {
	case errors.Is(err, layout.ErrVersion):
		t.Kind = otherLayout
		t.Facts = append(t.Facts, thingFact{"version", strings.TrimPrefix(err.Error(), "inspect ring: ")})
		return t, nil
	case errors.Is(err, layout.ErrKind):
		t.Kind = "unknown"
		t.Broken = append(t.Broken, err.Error())
		return t, nil
	case err != nil:
		return t, err
	}
	t.Kind, t.Size, t.Broken = rep.Kind, rep.Size, append(t.Broken, rep.Broken...)
	for _, f := range rep.Facts {
		t.Facts = append(t.Facts, thingFact(f))
	}
	for _, p := range rep.Parties {
		t.Parties = append(t.Parties, thingParty(p))
	}
	return t, nil
}

func inspectThing(r io.ReaderAt, off, room int64) (*shm.Report, error) {
	for _, inspect := range []func(io.ReaderAt, int64, int64) (*shm.Report, error){ring.Inspect, semaphore.Inspect, inspectArena} {
		if rep, err := inspect(r, off, room); !errors.Is(err, layout.ErrKind) {
			return rep, err
		}
	}
	kind, _, err := kindAt(r, off)
	if err == nil {
		err = fmt.Errorf("%v: %w", kind, layout.ErrKind)
	}
	return nil, err
}

func kindAt(r io.ReaderAt, off int64) (layout.Kind, int64, error) {
	front := layout.SliceBytes(make([]uint64, layout.HeaderSize/8))
	if _, err := r.ReadAt(front, off); err != nil {
		return 0, 0, err
	}
	kind, size, _, err := layout.HeaderOf(front)
	return kind, int64(min(size, 1<<62)), err
}

func inspectArena(r io.ReaderAt, off, room int64) (*shm.Report, error) {
	kind, size, err := kindAt(r, off)
	if err == nil && kind != layout.KindArena {
		err = layout.ErrKind
	}
	if err != nil {
		return nil, err
	}
	rep := &shm.Report{Kind: kind.String(), Size: min(size, room)}
	if size > room {
		rep.Broken = append(rep.Broken, fmt.Sprintf("it was made with %d bytes, and there are %d", size, room))
		return rep, nil
	}
	st, classes, odd, err := shm.Inspect(r, off, size)
	if err != nil {
		rep.Broken = append(rep.Broken, err.Error())
		return rep, nil
	}
	for i := 0; i < 2 && len(odd) > 0; i++ { // what is odd for a moment is not wrong
		_, _, again, err := shm.Inspect(r, off, size)
		if err != nil {
			return nil, err
		}
		odd = both(odd, again)
	}
	rep.Broken = odd
	rep.Facts = []shm.Fact{{Name: "blocks", Value: fmt.Sprintf("%s of %s in %s", bytesOf(st.Blocks), bytesOf(st.Size), plural(st.Count, "block"))},
		{Name: "backed", Value: bytesOf(st.Backed)}}
	for _, c := range classes {
		rep.Facts = append(rep.Facts, shm.Fact{Name: "blocks of " + bytesOf(c.Size), Value: fmt.Sprintf("%d of %d in %s", c.Held, c.Room, plural(c.Spans, "span"))})
	}
	return rep, nil
}

// both returns the lines that are in a and in b.
func both(a, b []string) (in []string) {
	for _, line := range a {
		for _, other := range b {
			if line == other {
				in = append(in, line)
				break
			}
		}
	}
	return in
}
