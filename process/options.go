package process

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/shmkit/shmkit/internal/sys"
)

// Options say how a child is started. The zero value is a child named like its
// entry that shares environment, directory, output, limits, niceness and CPUs with its parent.
type Options struct {
	Name   string     // what ps shows; its first 15 bytes become the short name
	Env    []string   // "key=value", added to the parent's or replacing its
	Dir    string     // working directory
	Stdin  *os.File   // nil: empty
	Stdout *os.File   // nil: the parent's
	Stderr *os.File   // nil: the parent's
	Files  []*os.File // open in the child, too; the parent keeps its own and may close them after Start
	Limits []Limit    // set in this order

	// Nice is the child's niceness, from -20 (the most urgent) to 19. 0: the parent's. To go below
	// the parent's takes a privilege.
	Nice int

	// CPUs are those on which the child may run, by the kernel's numbers, whether the parent may
	// or not. None: the parent's.
	CPUs []int

	// Detached lets the child live on when the parent ends, in a session of its own. While the parent
	// lives, it is a child like any other.
	Detached bool
}

// A Limit bounds one resource of a child and of all that it starts.
type Limit struct {
	Resource int    // a RLIMIT_ constant of package syscall
	Cur      uint64 // in force; exceeding it is an error or a signal; for RLIMIT_CPU, below Max, a panic that says so
	Max      uint64 // up to which the child may raise Cur by itself
}

// The bounds of Options.Nice.
const (
	minNice = -20
	maxNice = 19
)

// check finds what would otherwise fail with an error that does not say why.
func (o *Options) check() error {
	if strings.ContainsRune(o.Name, 0) {
		return fmt.Errorf("name %q holds a zero byte: %w", o.Name, os.ErrInvalid)
	}
	for _, v := range o.Env {
		if strings.IndexByte(v, '=') < 1 || strings.ContainsRune(v, 0) {
			return fmt.Errorf("environment entry %q is not key=value: %w", v, os.ErrInvalid)
		}
	}
	if i := slices.Index(o.Files, nil); i >= 0 {
		return fmt.Errorf("file %d is nil: %w", i, os.ErrInvalid)
	}
	if o.Nice < minNice || o.Nice > maxNice {
		return fmt.Errorf("niceness %d: it must be between %d and %d: %w", o.Nice, minNice, maxNice, os.ErrInvalid)
	}
	if len(o.CPUs) > 0 {
		if err := sys.CheckCPUs(o.CPUs); err != nil {
			return err
		}
	}
	if o.Dir != "" {
		// The kernel's error would not tell a missing directory from a missing binary.
		if info, err := os.Stat(o.Dir); err != nil {
			return fmt.Errorf("change directory: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("change directory to %s: %w", o.Dir, errNotDir)
		}
	}
	return nil
}

var errNotDir = errors.New("not a directory")

// environment returns the parent's environment with extra, in which a later value of
// a key replaces earlier ones: Go takes the first of several, C may take any. The
// variables of this package do not go from parent to child.
func environment(parent, extra []string) []string {
	env := make([]string, 0, len(parent)+len(extra)+1)
	seen := map[string]bool{stageVar: true, entryVar: true}
	for _, list := range [][]string{extra, parent} {
		for _, v := range slices.Backward(list) {
			key, _, _ := strings.Cut(v, "=")
			if !seen[key] {
				seen[key] = true
				env = append(env, v)
			}
		}
	}
	slices.Reverse(env)
	return env
}
