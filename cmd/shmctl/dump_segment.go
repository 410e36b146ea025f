package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// A segmentDump is what is in a segment.
type segmentDump struct {
	Name   string      `json:"name"`
	Size   int64       `json:"size_bytes"`
	Things []thingDump `json:"structures"`
	Hex    []string    `json:"hex,omitempty"` // of the beginning, if there is no structure
}

type thingDump struct {
	thing
	Hex []string `json:"hex"` // of its beginning, as hexdump -C writes it
}

// How much of each structure is shown as bytes.
const (
	hexShort = 256
	hexLong  = 16 << 10
)

func (s *segment) dump(wide bool) (*segmentDump, error) {
	things, err := thingsIn(s.f, s.size)
	if err != nil {
		return nil, err
	}
	d := &segmentDump{Name: s.name, Size: s.size, Things: []thingDump{}}
	most := int64(hexShort)
	if wide {
		most = hexLong
	}
	for _, t := range things {
		lines, err := hexOf(s.f, t.Off, min(max(t.Size, hexShort), s.size-t.Off, most))
		if err != nil {
			return nil, err
		}
		d.Things = append(d.Things, thingDump{t, lines})
	}
	if len(things) == 0 {
		d.Hex, err = hexOf(s.f, 0, min(s.size, most))
	}
	return d, err
}

// hexOf shows n bytes, 16 to a line, and a star for lines that are as the one before.
func hexOf(r io.ReaderAt, off, n int64) ([]string, error) {
	b := make([]byte, n)
	if _, err := r.ReadAt(b, off); err != nil {
		return nil, err
	}
	lines, last, starred := []string{}, "", false
	for at := 0; at < len(b); at += 16 {
		part := b[at:min(at+16, len(b))]
		if string(part) == last && at+16 < len(b) {
			if !starred {
				lines = append(lines, "*")
			}
			starred = true
			continue
		}
		last, starred = string(part), false
		text := strings.TrimSuffix(hex.Dump(part), "\n")
		lines = append(lines, fmt.Sprintf("%08x", off+int64(at))+text[8:])
	}
	return lines, nil
}

func (d *segmentDump) tables(bool) []table {
	head := table{}
	head.add("segment", d.Name)
	head.add("size", bytesOf(d.Size))
	if len(d.Things) == 0 {
		head.add("holds", "no structure of shmkit's: it is what programs agree upon")
	}
	all := []table{head}
	for i := range d.Things {
		all = append(all, d.Things[i].tables()...)
	}
	if len(d.Hex) > 0 {
		all = append(all, hexTable(d.Hex))
	}
	return all
}

func (t *thingDump) tables() []table {
	head := table{title: fmt.Sprintf("%s AT %d, %s", strings.ToUpper(t.Kind), t.Off, bytesOf(t.Size))}
	for _, f := range t.Facts {
		head.add(f.Name, f.Value)
	}
	for _, b := range t.Broken {
		head.addMarked(bad, "BROKEN", b)
	}
	all := []table{head}
	if len(t.Parties) > 0 {
		who := table{header: []string{"PROCESS", "", "WHAT IT HAS TO DO WITH IT"}}
		for _, p := range t.Parties {
			m, lives := plain, "lives"
			if !p.Alive {
				m, lives = doubtful, "has ended"
			}
			who.addMarked(m, fmt.Sprint(p.Pid), lives, p.What)
		}
		all = append(all, who)
	}
	return append(all, hexTable(t.Hex))
}

func hexTable(lines []string) table {
	t := table{}
	for _, l := range lines {
		t.add(l)
	}
	return t
}
