package sys

import (
	"bytes"
	"fmt"
	"strconv"
)

// A ProcessStatus is some of what the system says of a process.
type ProcessStatus struct {
	Stopped   bool  // by a signal, and not by a tracer
	Anonymous int64 // bytes of memory of its own in RAM
	Swapped   int64 // and in swap
}

// parseStatus reads the text of /proc/PID/status: a key, a colon and a value in each line.
func parseStatus(text []byte) (st ProcessStatus, err error) {
	traced := false
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimSpace(value)
		switch string(key) {
		case "State":
			st.Stopped = bytes.HasPrefix(value, []byte{'T'})
		case "TracerPid":
			traced = string(value) != "0"
		case "RssAnon":
			st.Anonymous, err = parseKB(value)
		case "VmSwap":
			st.Swapped, err = parseKB(value)
		}
		if err != nil {
			return ProcessStatus{}, fmt.Errorf("read %q: %w", bytes.TrimSpace(line), err)
		}
	}
	st.Stopped = st.Stopped && !traced
	return st, nil
}

// parseKB reads a number of KiB, as bytes.
func parseKB(value []byte) (int64, error) {
	n, err := strconv.ParseInt(string(bytes.TrimSuffix(value, []byte(" kB"))), 10, 64)
	return n << 10, err
}
