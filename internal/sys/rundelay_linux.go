//go:build linux && (amd64 || arm64)

package sys

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Runnable reports whether a thread of the process pid runs, or is ready to and has no processor.
func Runnable(pid int) (bool, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	var buf [512]byte
	for _, thread := range threads {
		n, err := readFile(dir+"/"+thread.Name()+"/stat", buf[:])
		if err != nil {
			continue // it has ended
		}
		if behind := buf[bytes.LastIndexByte(buf[:n], ')')+1 : n]; bytes.HasPrefix(behind, []byte(" R")) {
			return true, nil
		}
	}
	return false, nil
}

// RunDelay returns for how long the threads that the process pid has now have been ready to run and had no processor, in all.
func RunDelay(pid int) (total time.Duration, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var buf [128]byte
	for _, thread := range threads {
		n, err := readFile(dir+"/"+thread.Name()+"/schedstat", buf[:])
		if err != nil {
			continue // it has ended
		}
		delay, err := parseRunDelay(buf[:n])
		if err != nil {
			return 0, err
		}
		total += delay
	}
	return total, nil
}

// parseRunDelay reads the second of three numbers: nanoseconds of running, nanoseconds of waiting for that, times that it ran.
func parseRunDelay(line []byte) (time.Duration, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return 0, fmt.Errorf("read %q: want three numbers", line)
	}
	n, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(n), err
}
