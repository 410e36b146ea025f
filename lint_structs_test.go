package shmkit_test

import (
	"fmt"
	"go/ast"
	"go/types"
	"path"
	"slices"
	"strings"
)

// sharedStructs finds, in structs that are marked with structs.HostLayout, fields that
// may mean something else in another process. It knows what is fine, and refuses
// everything else: so what it does not understand cannot slip through.
func sharedStructs(all []source) (found []string) {
	decls := declarations(all)
	for _, d := range decls {
		st, ok := d.spec.Type.(*ast.StructType)
		if !ok || !isShared(d.source, st) {
			continue
		}
		if problem := d.check(decls, st, ""); problem != "" {
			found = append(found, d.breach(d.spec, "shared struct %s: field %s: use numbers of a fixed size, "+
				"their atomics, arrays and structs of them; an offset in place of a pointer, a uint8 in place of a bool",
				d.spec.Name, problem))
		}
	}
	slices.Sort(found)
	return found
}

// A declaration is that of a named type.
type declaration struct {
	source
	spec *ast.TypeSpec
}

// declarations are all types of the module, by folder and name. One that is declared
// once for each system stands there once.
func declarations(all []source) map[string]declaration {
	decls := map[string]declaration{}
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				decls[path.Join(s.dir(), spec.Name.Name)] = declaration{s, spec}
			}
			return true
		})
	}
	return decls
}

func isShared(s source, st *ast.StructType) bool {
	return slices.ContainsFunc(st.Fields.List, func(f *ast.Field) bool {
		sel, ok := f.Type.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "HostLayout" && isPackage(s, sel.X, "structs")
	})
}

// fine are the types that mean the same in every process on one machine.
var fine = []string{
	"byte", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64",
	"structs.HostLayout", "atomic.Int32", "atomic.Int64", "atomic.Uint32", "atomic.Uint64",
}

// check returns the path and the type of the first part of x that is not fine, or "".
// x stands in d's file.
func (d declaration) check(decls map[string]declaration, x ast.Expr, at string) string {
	switch x := x.(type) {
	case *ast.ArrayType:
		if x.Len != nil {
			return d.check(decls, x.Elt, at+"[]")
		}
	case *ast.StructType:
		for _, f := range x.Fields.List {
			if problem := d.check(decls, f.Type, at+"."+fieldName(f)); problem != "" {
				return problem
			}
		}
		return ""
	case *ast.Ident, *ast.SelectorExpr:
		name := types.ExprString(x)
		if slices.Contains(fine, name) {
			return ""
		}
		if named, ok := decls[d.locate(name)]; ok && named.spec.TypeParams == nil {
			return named.check(decls, named.spec.Type, at)
		}
	}
	return fmt.Sprintf("%s: %s", strings.TrimPrefix(at, "."), types.ExprString(x))
}

func fieldName(f *ast.Field) string {
	if len(f.Names) == 0 {
		return types.ExprString(f.Type)
	}
	return f.Names[0].Name
}

// locate returns the folder and name of the type that is called name in d's file.
func (d declaration) locate(name string) string {
	pkg, sel, qualified := strings.Cut(name, ".")
	if !qualified {
		return path.Join(d.dir(), name)
	}
	found := name
	d.importsOf(func(_ *ast.ImportSpec, p string) {
		if ours, ok := strings.CutPrefix(p, modulePath+"/"); ok && path.Base(p) == pkg {
			found = path.Join(ours, sel)
		}
	})
	return found
}
