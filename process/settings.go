package process

import (
	"fmt"
	"strconv"
	"strings"
)

// settings travel from the parent to the first stage, and on to the child proper, in
// an environment variable: one line for each, a key and its values. Text is
// quoted. Reading them must be cheap: it is part of every start.
type settings struct {
	entry  string
	name   string
	files  int // how many are passed, from firstFile on
	limits []Limit
	nice   int // 0: the parent's
	cpus   []int
	strays []int // descriptors that are inherited and shall not be

	detached bool // it does not end with the parent
}

// Descriptors of a child. What Options.Files name follows.
const (
	lifelineFile = 3 + iota
	statusFile
	firstFile
)

// encode returns the text that parseSettings reads.
func (s *settings) encode() string {
	b := strconv.AppendQuote([]byte("entry "), s.entry)
	b = strconv.AppendQuote(append(b, "\nname "...), s.name)
	b = strconv.AppendInt(append(b, "\nfiles "...), int64(s.files), 10)
	for _, l := range s.limits {
		b = fmt.Appendf(b, "\nlimit %d %d %d", l.Resource, l.Cur, l.Max)
	}
	if s.nice != 0 {
		b = strconv.AppendInt(append(b, "\nnice "...), int64(s.nice), 10)
	}
	for _, cpu := range s.cpus {
		b = strconv.AppendInt(append(b, "\ncpu "...), int64(cpu), 10)
	}
	for _, fd := range s.strays {
		b = strconv.AppendInt(append(b, "\nstray "...), int64(fd), 10)
	}
	if s.detached {
		b = append(b, "\ndetached"...)
	}
	return string(b)
}

func parseSettings(text string) (*settings, error) {
	s := &settings{}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, " ")
		if err := s.set(key, value); err != nil {
			return nil, fmt.Errorf("read setting %q: %w", line, err)
		}
	}
	return s, nil
}

func (s *settings) set(key, value string) (err error) {
	switch key {
	case "entry":
		s.entry, err = strconv.Unquote(value)
	case "name":
		s.name, err = strconv.Unquote(value)
	case "files":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 16)
		s.files = int(n)
	case "limit":
		var l Limit
		_, err = fmt.Sscan(value, &l.Resource, &l.Cur, &l.Max)
		s.limits = append(s.limits, l)
	case "nice":
		s.nice, err = strconv.Atoi(value)
	case "cpu":
		s.cpus, err = appendInt(s.cpus, value)
	case "stray":
		s.strays, err = appendInt(s.strays, value)
	case "detached":
		s.detached = true
	default:
		err = fmt.Errorf("unknown key %q", key)
	}
	return err
}

func appendInt(list []int, text string) ([]int, error) {
	n, err := strconv.Atoi(text)
	return append(list, n), err
}
