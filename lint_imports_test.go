package shmkit_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The rules of this file say who may import what.

var (
	steps     = []string{"shm", "semaphore", "ring", "process", "pool"}
	internals = map[string][]string{
		"internal/sys":     nil,
		"internal/layout":  {"internal/sys"},
		"internal/backoff": {"internal/sys"},
		"internal/owner":   {"internal/sys", "internal/layout"},
		"internal/codec":   {"internal/layout"},
		"internal/objects": {"internal/sys"},
		"internal/leak":    {"internal/sys"},
		"internal/history": {"internal/sys", "internal/layout"},
		"internal/inspect": {"internal/sys"},
		"internal/exam":    {"internal/layout", "internal/owner", "shm"},

		"internal/telemetry": {"internal/sys", "internal/layout", "ring"},

		"internal/singlestep":     nil,
		"internal/explore":        {"internal/layout"}, // its tests: layout itself is built on what explore puts in place of atomics
		"internal/explore/atomic": {"internal/explore"},
		"internal/explore/sync":   {"internal/explore"},
	}
)

// testSupport are the packages of the module that only tests import. Beside internal/explore lies what is put in place of other
// packages when scenarios are built: no file imports that as it stands.
var testSupport = []string{"internal/leak", "internal/history", "internal/singlestep", "internal/explore"}

// mayImport lists what a folder's package may import of the module; ok is false for
// a folder that has no place in the staircase.
func mayImport(dir string) (below []string, ok bool) {
	if below, ok = internals[dir]; ok {
		return below, true
	}
	step := slices.Index(steps, dir)
	isExample := strings.HasPrefix(dir, "examples/")
	if step < 0 && !isExample && dir != "." && !strings.HasPrefix(dir, "cmd/") {
		return nil, false
	}
	switch {
	case dir == ".":
		return nil, true
	case isExample: // shows what every user can write
		return steps, true
	case step < 0:
		step = len(steps)
	}
	below = slices.Clone(steps[:step])
	for name := range internals {
		if !slices.Contains(testSupport, name) && path.Dir(name) != "internal/explore" {
			below = append(below, name)
		}
	}
	return below, true
}

func staircase(all []source) (found []string) {
	for _, s := range all {
		below, ok := mayImport(s.dir())
		if !ok {
			found = append(found, s.breach(s.file, "%s has no place in the staircase: give it one in lint_test.go", s.dir()))
			continue
		}
		s.importsOf(func(at *ast.ImportSpec, p string) {
			ours, is := strings.CutPrefix(p, modulePath+"/")
			ofTest := s.isTest() && (ours == s.dir() || slices.Contains(testSupport, ours) || s.dir() == path.Dir(ours))
			if is && !ofTest && !slices.Contains(below, ours) {
				found = append(found, s.breach(at, "%s imports %s, which does not stand below it: move the code down, "+
					"or hand in what it needs", s.dir(), ours))
			}
		})
	}
	return found
}

// forbid finds imports of what matches, outside the places that allowed says.
func forbid(all []source, matches func(p string) bool, allowed func(source) bool, advice string) (found []string) {
	for _, s := range all {
		s.importsOf(func(at *ast.ImportSpec, p string) {
			if matches(p) && !allowed(s) {
				found = append(found, s.breach(at, "imports %s: %s", p, advice))
			}
		})
	}
	return found
}

// The folders whose tests break a rule for a reason.
var (
	unsafeTests = map[string]string{
		"internal/codec": "whether a value lies in the bytes that it was decoded from is seen by its address alone",
	}
	systemCallTests = map[string]string{
		"process":        "they look at a child as the kernel does: its group, its limits, its signals",
		"ring":           "they interrupt each thread where it waits in the kernel",
		"semaphore":      "likewise; they stop those who wait or hold something, and let them go on",
		"internal/owner": "they take the descriptors away that it needs",
		"pool":           "they end workers as nobody but the kernel can: by any signal, at any time",
		"cmd/shmctl":     "they hide a process from others of its user",
	}
	// systemCallPackages are for tests alone, and so no part of what internal/sys is for.
	systemCallPackages = map[string]string{
		"internal/singlestep": "it traces threads, which nothing that is shipped does",
	}
)

func isUnsafe(p string) bool { return p == "unsafe" }

func unsafeInTwo(all []source) []string {
	return forbid(all, isUnsafe, func(s source) bool {
		return s.dir() == "internal/sys" || s.dir() == "internal/layout" || s.isTest() && unsafeTests[s.dir()] != ""
	}, "use what internal/layout offers, or add to it; assert sizes and offsets in a test, with reflect")
}

func isSystemCalls(p string) bool { return p == "syscall" || strings.HasPrefix(p, "golang.org/x/sys/") }

func systemCalls(all []source) []string {
	return forbid(all, isSystemCalls, func(s source) bool {
		return s.dir() == "internal/sys" || systemCallPackages[s.dir()] != "" || s.isTest() && systemCallTests[s.dir()] != ""
	}, "system calls are made in internal/sys: add a function there")
}

// TestExemptions fails for an exemption that nobody needs any more.
func TestExemptions(t *testing.T) {
	all := sources(t)
	for dir := range unsafeTests {
		assert.True(t, imports(all, dir, isUnsafe), "no test in %s imports unsafe any more: take it off the list", dir)
	}
	for dir := range systemCallTests {
		assert.True(t, imports(all, dir, isSystemCalls), "no test in %s makes system calls any more: take it off the list", dir)
	}
	for dir := range systemCallPackages {
		assert.Contains(t, testSupport, dir)
	}
}

// imports reports whether a test in dir imports what matches.
func imports(all []source, dir string, matches func(p string) bool) (is bool) {
	for _, s := range all {
		s.importsOf(func(_ *ast.ImportSpec, p string) { is = is || s.isTest() && s.dir() == dir && matches(p) })
	}
	return is
}

func mappings(all []source) []string {
	return forbid(all, func(p string) bool { return p == "github.com/edsrzf/mmap-go" },
		func(s source) bool { return s.dir() == "shm" || s.isTest() }, "map memory through package shm")
}
