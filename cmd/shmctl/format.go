package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shmkit/shmkit/internal/inspect"
)

// printable is s with a question mark in place of all that would do more on a terminal than show: names and texts are those of other programs.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// bytesOf shows a number of bytes in three digits or so.
func bytesOf(n int64) string {
	if n < 0 {
		return "?"
	}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/(1<<10), 0
	for v >= 1023.5 && unit < 5 {
		v /= 1 << 10
		unit++
	}
	return threeDigits(v) + " " + "KMGTPE"[unit:unit+1] + "iB"
}

// countOf shows a number, a large one in three digits or so.
func countOf(n uint64) string {
	if n < 100_000 {
		return strconv.FormatUint(n, 10)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.5 && unit < 5 {
		v /= 1000
		unit++
	}
	return threeDigits(v) + "kMGTPE"[unit:unit+1]
}

func threeDigits(v float64) string {
	switch {
	case v < 9.995:
		return trimZeros(fmt.Sprintf("%.2f", v))
	case v < 99.95:
		return trimZeros(fmt.Sprintf("%.1f", v))
	}
	return fmt.Sprintf("%.0f", v)
}

func trimZeros(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

// timeOf shows a duration in three digits or so, a long one in its two largest units.
func timeOf(d time.Duration) string {
	switch {
	case d < 0:
		return "?"
	case d == 0:
		return "0"
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d)
	case d < 999_500*time.Nanosecond:
		return threeDigits(float64(d)/1e3) + "µs"
	case d < 999_500*time.Microsecond:
		return threeDigits(float64(d)/1e6) + "ms"
	case d < time.Minute:
		return threeDigits(d.Seconds()) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// plural is a number of things.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// usersOf names the processes, the first few of many.
func usersOf(all []inspect.Use) string {
	const most = 3
	var names []string
	for i, u := range all {
		if i == most && len(all) > most+1 {
			names = append(names, fmt.Sprintf("%d more", len(all)-most))
			break
		}
		names = append(names, u.Process.String())
	}
	return strings.Join(names, ", ")
}
