package sys

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// The functions here read the machine's and the control group's limits from the
// files of a file system, so that tests can hand them any machine.

// memoryFree returns how many bytes can still be used before the machine or the
// nearest control group runs out, or a lesser number that is at least enough. What cannot be read
// does not limit.
func memoryFree(root fs.FS, enough int64) int64 {
	free := int64(math.MaxInt64)
	if v, ok := field(root, "proc/meminfo", "MemAvailable:"); ok {
		free = v * 1024
	}
	for _, dir := range cgroupDirs(root, "memory") {
		free = min(free, groupFree(root, dir, enough))
	}
	return max(free, 0)
}

// memoryTotal returns the memory of the machine or of the control group,
// whichever is less.
func memoryTotal(root fs.FS) int64 {
	total := int64(math.MaxInt64)
	if v, ok := field(root, "proc/meminfo", "MemTotal:"); ok {
		total = v * 1024
	}
	for _, dir := range cgroupDirs(root, "memory") {
		for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
			if v, ok := number(root, path.Join(dir, name)); ok {
				total = min(total, v)
			}
		}
	}
	return total
}

// groupFree is what one control group leaves. Inactive file pages count as free:
// the kernel takes them back before it refuses memory. It takes long to count them, which is left out
// if there is enough without them.
func groupFree(root fs.FS, dir string, enough int64) int64 {
	for _, names := range [][3]string{
		{"memory.max", "memory.current", "inactive_file"},
		{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
	} {
		limit, ok1 := number(root, path.Join(dir, names[0]))
		used, ok2 := number(root, path.Join(dir, names[1]))
		if ok1 && ok2 && limit-used >= enough {
			return limit - used
		}
		if ok1 && ok2 {
			cache, _ := field(root, path.Join(dir, "memory.stat"), names[2])
			return limit - used + cache
		}
	}
	return math.MaxInt64
}

// cpuQuota returns the CPUs that the tightest control group grants, rounded up,
// or fallback when there is no quota.
func cpuQuota(root fs.FS, fallback int) int {
	cpus := fallback
	for _, dir := range cgroupDirs(root, "cpu") {
		quota, period, ok := quotaPeriod(root, dir)
		if ok && quota > 0 && period > 0 {
			cpus = min(cpus, int((quota+period-1)/period))
		}
	}
	return max(cpus, 1)
}

func quotaPeriod(root fs.FS, dir string) (quota, period int64, ok bool) {
	if data, err := fs.ReadFile(root, path.Join(dir, "cpu.max")); err == nil {
		words := strings.Fields(string(data))
		if len(words) != 2 {
			return 0, 0, false
		}
		quota, err1 := strconv.ParseInt(words[0], 10, 64) // "max": no quota
		period, err2 := strconv.ParseInt(words[1], 10, 64)
		return quota, period, err1 == nil && err2 == nil
	}
	quota, ok1 := number(root, path.Join(dir, "cpu.cfs_quota_us"))
	period, ok2 := number(root, path.Join(dir, "cpu.cfs_period_us"))
	return quota, period, ok1 && ok2
}

// cgroupDirs lists the directories of this process's control group and of its
// parents, for a version 1 controller and for version 2. In a container the path in
// /proc/self/cgroup may not exist below its mount: the mount's root is listed always.
func cgroupDirs(root fs.FS, controller string) []string {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[1] == "":
			dirs = append(dirs, upward("sys/fs/cgroup", parts[2])...)
			dirs = append(dirs, upward("sys/fs/cgroup/unified", parts[2])...)
		case hasWord(parts[1], controller):
			dirs = append(dirs, upward("sys/fs/cgroup/"+controller, parts[2])...)
		}
	}
	return dirs
}

// upward lists mount/group and each directory above it down to mount itself.
func upward(mount, group string) []string {
	var dirs []string
	for at := path.Clean("/" + group); ; at = path.Dir(at) {
		dirs = append(dirs, path.Join(mount, at))
		if at == "/" {
			return dirs
		}
	}
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// number reads a file that holds one number; "max" and unreadable are not ok.
func number(root fs.FS, name string) (int64, bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return v, err == nil
}

// field reads the number behind a key at the start of a line.
func field(root fs.FS, name, key string) (int64, bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) >= 2 && words[0] == key {
			v, err := strconv.ParseInt(words[1], 10, 64)
			return v, err == nil
		}
	}
	return 0, false
}
