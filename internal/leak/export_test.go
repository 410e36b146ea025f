package leak

import "time"

// SetPatience shortens how long the process waits for things to end by themselves.
func SetPatience(d time.Duration) { patience = d }

// ParseStat returns what is read of a line of /proc/PID/stat.
func ParseStat(line string) (name, state, parent, start string, ok bool) {
	p, ok := parseStat(line)
	return p.name, p.state, p.parent, p.start, ok
}
