package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// memoryPart is a part of a pool's memory.
type memoryPart struct {
	Name string   `json:"name"`
	Off  int64    `json:"offset"`
	Size int64    `json:"size_bytes"`
	Hex  []string `json:"hex,omitempty"` // of its beginning
}

// slotLine is a task in a pool's memory.
type slotLine struct {
	Slot     int       `json:"slot"`
	State    string    `json:"state"`
	Task     string    `json:"task"`
	Function string    `json:"function"`
	Worker   uint32    `json:"worker,omitempty"` // its incarnation
	Argument string    `json:"argument_in"`
	ArgBytes uint64    `json:"argument_bytes"` // of a chunk, its items
	Result   string    `json:"result_in,omitempty"`
	ResBytes uint64    `json:"result_bytes"`
	Retry    bool      `json:"may_retry,omitempty"`
	Accepted time.Time `json:"accepted,omitzero"`
	Hex      []string  `json:"hex,omitempty"` // but for arguments and results
}

const (
	hexPart   = 256
	slotHex   = 32 // of a slot's 64 bytes: what follows are values
	mostSlots = 1024
	fewSlots  = 20 // in a table that is not wide
)

// hexed are the parts of which bytes are shown: in the others there are too many, or they are shown decoded.
var hexed = map[string]bool{"header": true, "control": true, "ready ring": true, "workers": true, "function table": true, "what the parent tells": true}

func (all *everything) addMemory(o *pool.Observer) error {
	for _, p := range o.Parts() {
		part := memoryPart{Name: p.Name, Off: p.Off, Size: p.Size}
		if hexed[p.Name] {
			var err error
			if part.Hex, err = hexOf(o, p.Off, min(p.Size, hexPart)); err != nil {
				return err
			}
		}
		all.Parts = append(all.Parts, part)
	}
	slots, err := o.Slots()
	if err != nil {
		return err
	}
	for _, s := range slots[:min(len(slots), mostSlots)] {
		l := slotLine{Slot: s.Slot, State: s.State, Task: taskID(s.Task), Function: s.Function, Worker: s.Worker, Argument: s.Argument, ArgBytes: s.ArgBytes,
			Result: s.Result, ResBytes: s.ResBytes, Retry: s.Retry, Accepted: s.Accepted}
		if l.Hex, err = hexOf(o, s.Off, slotHex); err != nil {
			return err
		}
		all.Slots = append(all.Slots, l)
	}
	return nil
}

// memoryTables show the tasks as they lie in the memory and, if that is asked for, the memory's parts and their bytes.
func (all *everything) memoryTables(wide bool) []table {
	slots := table{title: fmt.Sprintf("%s THAT ARE NOT FREE", strings.ToUpper(plural(len(all.Slots), "slot"))), header: []string{"SLOT", "STATE", "TASK", "FUNCTION", "WORKER", "ARGUMENT", "RESULT", "ACCEPTED"}}
	shown := all.Slots
	if !wide {
		shown = shown[:min(len(shown), fewSlots)]
	}
	for _, s := range shown {
		worker, result, accepted := "-", "-", "-"
		if s.Worker != 0 {
			worker = fmt.Sprint(s.Worker)
		}
		if s.Result != "" {
			result = fmt.Sprintf("%s, in %s", bytesOf(int64(min(s.ResBytes, 1<<62))), s.Result)
		}
		if !s.Accepted.IsZero() {
			accepted = s.Accepted.Local().Format("15:04:05.000000")
		}
		argument := fmt.Sprintf("%s, in %s", bytesOf(int64(min(s.ArgBytes, 1<<62))), s.Argument)
		if s.Argument == "chunk" {
			argument = plural(int(min(s.ArgBytes, 1<<31)), "item") + ", a chunk"
		}
		slots.add(fmt.Sprint(s.Slot), s.State, s.Task, s.Function, worker, argument, result, accepted)
	}
	if n := len(all.Slots) - len(shown); n > 0 {
		slots.add(fmt.Sprintf("and %d more: -o wide", n))
	}
	var tables []table
	if len(all.Slots) > 0 {
		tables = append(tables, slots)
	}
	if !wide {
		return tables
	}
	parts := table{title: "MEMORY", header: []string{"PART", "OFFSET", "SIZE"}}
	bytes := table{title: "BYTES"}
	for _, p := range all.Parts {
		parts.add(p.Name, fmt.Sprintf("%#x", p.Off), bytesOf(p.Size))
		if len(p.Hex) > 0 {
			bytes.add(p.Name)
			for _, l := range p.Hex {
				bytes.add("  " + l)
			}
		}
	}
	for _, s := range all.Slots {
		bytes.add(fmt.Sprintf("slot %d", s.Slot))
		for _, l := range s.Hex {
			bytes.add("  " + l)
		}
	}
	return append(tables, parts, bytes)
}
