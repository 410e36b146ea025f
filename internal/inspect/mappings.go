package inspect

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// LookAtMappings adds to Named the processes that have mapped a file in /dev/shm and closed it, as C's programs do: to be asked before a file is
// called nobody's. It reads more of each process than [Look].
func (c *Census) LookAtMappings() {
	for _, p := range c.seen {
		text, err := os.ReadFile(filepath.Join(c.proc, strconv.Itoa(p.Pid), "maps"))
		if err != nil { // it has ended, or its descriptors could not be read either
			continue
		}
		for line := range bytes.Lines(text) {
			if name, ino, ok := mappedName(string(line)); ok {
				c.addMapping(name, ino, p)
			}
		}
	}
}

// mappedName reads a line of /proc/PID/maps: addresses, permissions, offset, device, inode, path.
func mappedName(line string) (name string, ino uint64, ok bool) {
	head, path, found := strings.Cut(strings.TrimSuffix(line, "\n"), namedPrefix)
	words := strings.Fields(head)
	if !found || len(words) != 5 {
		return "", 0, false
	}
	ino, err := strconv.ParseUint(words[4], 10, 64)
	return strings.TrimSuffix(path, deleted), ino, err == nil
}

// addMapping goes by the inode: the device is written in another way there, and the name may be the one that the file was made under. Another
// /dev/shm's file of that inode does no harm.
func (c *Census) addMapping(name string, ino uint64, p Process) {
	i := slices.IndexFunc(c.Named, func(m Memory) bool { return m.Ino == ino })
	if i < 0 {
		i, c.Named = len(c.Named), append(c.Named, Memory{Name: name, Ino: ino})
	}
	if !c.Named[i].has(p.Pid) {
		c.Named[i].Uses = append(c.Named[i].Uses, Use{p, -1})
	}
}

// UsersOf returns who has the file at path, in /dev/shm, as far as was looked.
func (c *Census) UsersOf(path string) (all []Use) {
	m, err := fileAt(path)
	if err != nil { // it has just been removed
		return nil
	}
	for _, n := range c.Named {
		if n.Ino == m.Ino && (n.Dev == m.Dev || n.Dev == 0) {
			all = append(all, n.Uses...)
		}
	}
	return all
}
