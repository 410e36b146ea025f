package owner

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// A stat is what matters of /proc/PID/stat.
type stat struct {
	state   byte   // field 3
	threads uint64 // field 20
	start   uint64 // field 22, in ticks since boot
}

// Positions among the fields behind the name, the first of which is field 3.
const (
	stateField   = 0
	threadsField = 20 - 3
	startField   = 22 - 3
)

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads a line of /proc/PID/stat. The process chose its name, which stands
// in parentheses: it may hold spaces, line ends and parentheses, so the last
// closing one counts.
func parseStat(line []byte) (stat, error) {
	end := bytes.LastIndexByte(line, ')')
	fields := bytes.Fields(line[end+1:])
	if end < 0 || len(fields) <= startField || len(fields[stateField]) != 1 {
		return stat{}, fmt.Errorf("%q: %w", line, errStat)
	}
	threads, err1 := strconv.ParseUint(string(fields[threadsField]), 10, 64)
	start, err2 := strconv.ParseUint(string(fields[startField]), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return stat{}, fmt.Errorf("%q: %w: %w", line, errStat, err)
	}
	return stat{state: fields[stateField][0], threads: threads, start: start}, nil
}

// ended reports whether nothing of the process runs. The state is that of the first
// thread, which may end before the others: a zombie with threads still writes.
func (s stat) ended() bool {
	return (s.state == 'Z' || s.state == 'X') && s.threads <= 1
}
