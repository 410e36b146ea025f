package shmkit_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/shmkit/shmkit"

// A source is one Go file of the module, whatever its build tags.
type source struct {
	name string // from the module's root, with slashes
	file *ast.File
	pos  *token.File
}

func (s source) dir() string         { return path.Dir(s.name) }
func (s source) isTest() bool        { return strings.HasSuffix(s.name, "_test.go") }
func (s source) under(d string) bool { return strings.HasPrefix(s.name, d+"/") }

// breach is a message that says where a rule is broken and what to do.
func (s source) breach(at ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", s.name, s.pos.Line(at.Pos())) + fmt.Sprintf(format, args...)
}

// importsOf calls f with the path of each import.
func (s source) importsOf(f func(at *ast.ImportSpec, path string)) {
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // it was parsed
		}
		f(spec, p)
	}
}

func parse(t *testing.T, name string, text []byte) source {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	require.NoError(t, err)
	return source{name, file, set.File(file.FileStart)}
}

// sources returns all Go files of this module; nested modules are not part of it.
func sources(t *testing.T) (all []source) {
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && d.IsDir():
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if err == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
		case strings.HasSuffix(name, ".go"):
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all = append(all, parse(t, filepath.ToSlash(name), text))
		}
		return nil
	})
	require.NoError(t, err)
	return all
}

// rules return the breaches that they find.
var rules = map[string]func([]source) []string{
	"staircase": staircase, "unsafe": unsafeInTwo, "system calls": systemCalls, "mappings": mappings,
	"shared structs": sharedStructs, "long files": longFiles, "sleep": sleeps,
}

// TestModule checks the rules that hold for the module as a whole.
func TestModule(t *testing.T) {
	all := sources(t)
	require.Greater(t, len(all), 50, "the files were not found")
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, b := range rule(all) {
				t.Error(b)
			}
		})
	}
}

// maxLines of a file that is no test.
const maxLines = 350

func longFiles(all []source) (found []string) {
	for _, s := range all {
		if n := s.pos.LineCount(); n > maxLines && !s.isTest() {
			found = append(found, fmt.Sprintf("%s: has %d lines, more than %d: split it by concern", s.name, n, maxLines))
		}
	}
	return found
}

func sleeps(all []source) (found []string) {
	for _, s := range all {
		if s.under("examples") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" && isPackage(s, sel.X, "time") {
				found = append(found, s.breach(n, "time.Sleep: wait for the event itself, with a time limit"))
			}
			return true
		})
	}
	return found
}

// isPackage reports whether x names the imported package p.
func isPackage(s source, x ast.Expr, p string) (is bool) {
	id, ok := x.(*ast.Ident)
	s.importsOf(func(at *ast.ImportSpec, imported string) {
		name := path.Base(imported)
		if at.Name != nil {
			name = at.Name.Name
		}
		is = is || ok && imported == p && id.Name == name
	})
	return is
}

// TestRules shows that each rule finds what it is there to find.
func TestRules(t *testing.T) {
	long := strings.Repeat("// a line\n", maxLines)
	for _, tt := range []struct{ rule, name, text, want string }{
		{"staircase", "shm/a.go", `import "` + modulePath + `/ring"`, "shm imports ring"},
		{"staircase", "internal/codec/a.go", `import "` + modulePath + `/internal/sys"`, "internal/codec imports internal/sys"},
		{"staircase", "pool/a.go", `import "` + modulePath + `/internal/leak"`, "pool imports internal/leak"},
		{"staircase", "ring/a.go", `import "` + modulePath + `/internal/history"`, "ring imports internal/history"},
		{"staircase", "pool/a_test.go", `import ("` + modulePath + `/internal/leak"; "` + modulePath + `/pool")`, ""},
		{"staircase", "pool/a.go", `import "` + modulePath + `/internal/explore"`, "pool imports internal/explore"},
		{"staircase", "pool/a.go", `import "` + modulePath + `/internal/explore/atomic"`, "pool imports internal/explore/atomic"},
		{"staircase", "pool/a_test.go", `import "` + modulePath + `/internal/explore"`, ""},
		{"staircase", "pool/a_test.go", `import "` + modulePath + `/internal/explore/atomic"`, "pool imports internal/explore/atomic"},
		{"staircase", "pool/a.go", `import "` + modulePath + `/internal/singlestep"`, "pool imports internal/singlestep"},
		{"staircase", "cmd/x/a.go", `import "` + modulePath + `/internal/sys"`, ""},
		{"staircase", "examples/x/a.go", `import "` + modulePath + `/internal/sys"`, "examples/x imports internal/sys"},
		{"staircase", "util/a.go", ``, "util has no place"},
		{"unsafe", "pool/a_test.go", `import "unsafe"`, "imports unsafe"},
		{"unsafe", "internal/codec/a.go", `import "unsafe"`, "imports unsafe"},
		{"unsafe", "internal/codec/a_test.go", `import "unsafe"`, ""},
		{"unsafe", "internal/layout/a.go", `import "unsafe"`, ""},
		{"system calls", "shm/a.go", `import "syscall"`, "imports syscall"},
		{"system calls", "shm/a_test.go", `import "golang.org/x/sys/unix"`, "imports golang.org/x/sys/unix"},
		{"system calls", "process/a_test.go", `import "syscall"`, ""},
		{"system calls", "internal/singlestep/a.go", `import "golang.org/x/sys/unix"`, ""},
		{"mappings", "ring/a.go", `import "github.com/edsrzf/mmap-go"`, "through package shm"},
		{"mappings", "ring/a_test.go", `import "github.com/edsrzf/mmap-go"`, ""},
		{"long files", "shm/a.go", long, "has 351 lines"},
		{"long files", "shm/a_test.go", long, ""},
		{"sleep", "shm/a_test.go", `import wait "time"; func f() { wait.Sleep(1) }`, "shm/a_test.go:2: time.Sleep"},
		{"sleep", "shm/a.go", `func f() { x.Sleep(1) }`, ""},
		{"shared structs", "shm/a.go", hostLayout + `_ structs.HostLayout; a [2]*int }`, "shm/a.go:2: shared struct t: field a[]"},
		{"shared structs", "shm/a.go", hostLayout + `_ structs.HostLayout; a string }`, "field a: string"},
		{"shared structs", "shm/a.go", hostLayout + `_ structs.HostLayout; a atomic.Pointer[t] }`, "field a: atomic.Pointer"},
		{"shared structs", "shm/a.go", hostLayout + `_ structs.HostLayout; a b }; type b struct{ c map[int]int }`, "field a.c: map"},
		{"shared structs", "shm/a.go", hostLayout + `_ structs.HostLayout; a, b atomic.Uint64; c [4]uint8; d e }; type e uint16`, ""},
		{"shared structs", "shm/a.go", hostLayout + `a string }`, ""},
	} {
		found := rules[tt.rule]([]source{parse(t, tt.name, []byte("package p\n"+tt.text))})
		if tt.want == "" {
			assert.Empty(t, found, tt.name)
		} else if assert.Len(t, found, 1, "%s: %s", tt.name, tt.want) {
			assert.Contains(t, found[0], tt.want)
		}
	}
}

const hostLayout = `import ("structs"; "sync/atomic"); type t struct { `
