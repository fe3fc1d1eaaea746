package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// mutant is one change.
type mutant struct {
	id                     int
	file                   string
	line                   int
	what, text             string
	seen, noticed, endless bool
	trouble                error // the tests ended in another way than by a failure
}

func (m *mutant) String() string {
	state := "survives"
	if !m.seen {
		state = "no test comes by"
	}
	if m.noticed {
		state = "noticed"
	}
	return fmt.Sprintf("#%d %s:%d %s: %s (%s)", m.id, m.file, m.line, m.what, m.text, state)
}

// instrument writes the engine with every change behind a switch into dir, and an overlay for the compiler.
func instrument(pkg, dir string) (all []*mutant, overlay string, err error) {
	files, info, fset, err := load(pkg)
	if err != nil {
		return nil, "", err
	}
	w := &writer{fset: fset, info: info}
	replace := map[string]string{}
	add := func(path, text string) error {
		from, err := filepath.Abs(path)
		if err == nil {
			replace[from] = filepath.Join(dir, strings.ReplaceAll(path, "/", "-"))
			err = os.WriteFile(replace[from], []byte(text), fileModes)
		}
		return err
	}
	for _, f := range files {
		name := fset.Position(f.Pos()).Filename
		if w.source, err = os.ReadFile(name); err != nil { // #nosec G304 -- the engine's source
			return nil, "", err
		}
		if err := add(name, w.rewrite(f)); err != nil {
			return nil, "", err
		}
	}
	for path, text := range map[string]string{
		"engine/mutant_switch.go":               fmt.Sprintf(switches, len(w.all)+1, variable, coverage),
		"engine/mutant_seen_test.go":            fmt.Sprintf(seenTest, "engine", "", ""),
		"engine/enginetest/mutant_seen_test.go": fmt.Sprintf(seenTest, "enginetest", `"maitred/engine"`, "engine."),
	} {
		if err := add(path, text); err != nil {
			return nil, "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return w.all, overlay, os.WriteFile(overlay, text, fileModes)
}

// load parses and types what is the engine's own: no tests, nothing generated.
func load(pkg string) (files []*ast.File, info *types.Info, fset *token.FileSet, err error) {
	names, err := filepath.Glob(filepath.Join(pkg, "*.go"))
	if err != nil {
		return nil, nil, nil, err
	}
	sort.Strings(names)
	fset = token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return nil, nil, nil, err
		}
		files = append(files, f)
	}
	build.Default.CgoEnabled = false
	info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	_, err = (&types.Config{Importer: importer.ForCompiler(fset, "source", nil)}).Check(pkg, fset, files, info)
	return files, info, fset, err
}

// writer writes a file anew, with switches in it.
type writer struct {
	fset   *token.FileSet
	info   *types.Info
	source []byte
	all    []*mutant
	claim  ast.Node // what an assertion says, or a part of it that it implies; nil = outside
}

func (w *writer) rewrite(f *ast.File) string {
	return w.between(f, f.FileStart, f.FileEnd)
}

// between is the source from one place to another, with the outermost changed nodes below n replaced.
func (w *writer) between(n ast.Node, from, to token.Pos) string {
	var out strings.Builder
	at := from
	ast.Inspect(n, func(c ast.Node) bool {
		if c == nil || c == n {
			return c == n
		}
		if text, ok := w.change(c); ok {
			out.WriteString(w.raw(at, c.Pos()))
			out.WriteString(text)
			at = c.End()
			return false
		}
		return true
	})
	out.WriteString(w.raw(at, to))
	return out.String()
}

func (w *writer) raw(from, to token.Pos) string {
	return string(w.source[w.fset.Position(from).Offset:w.fset.Position(to).Offset])
}

// inner is a node with its own changes.
func (w *writer) inner(n ast.Node) string {
	if text, ok := w.change(n); ok {
		return text
	}
	return w.between(n, n.Pos(), n.End())
}

// add counts a change in.
func (w *writer) add(n ast.Node, what string) int {
	at := w.fset.Position(n.Pos())
	text := strings.Join(strings.Fields(w.raw(n.Pos(), n.End())), " ")
	w.all = append(w.all, &mutant{id: len(w.all) + 1, file: at.Filename, line: at.Line, what: what, text: text})
	return len(w.all)
}

// change is a node with switches, if it is one that is changed.
func (w *writer) change(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if says(n, "assert", "broken") {
			text, at := w.raw(n.Pos(), n.Args[0].Pos())+w.part(n.Args[0]), n.Args[0].End()
			for _, a := range n.Args[1:] {
				text, at = text+w.raw(at, a.Pos())+w.inner(a), a.End()
			}
			return text + w.raw(at, n.End()), true
		}
	case *ast.BinaryExpr:
		if w.info.Types[n].Value == nil {
			return w.binary(n)
		}
	case *ast.UnaryExpr:
		if w.info.Types[n].Value == nil && (n.Op == token.NOT || n.Op == token.SUB) {
			name := map[token.Token]string{token.NOT: "mutantNot", token.SUB: "mutantNegative"}[n.Op]
			return fmt.Sprintf("%s(%d, %s)", name, w.add(n, "without "+n.Op.String()), w.inner(n.X)), true
		}
	case *ast.BlockStmt:
		return w.block(n, n.Lbrace+1, n.List, n.Rbrace+1, n.Lbrace)
	case *ast.CaseClause:
		return w.block(n, n.Colon+1, n.Body, n.End(), n.Case)
	}
	return "", false
}

// boundary has the comparisons that differ from another only where both sides are equal.
var boundary = map[token.Token][2]string{
	token.LSS: {"mutantLess", "<="}, token.LEQ: {"mutantAtMost", "<"}, token.GTR: {"mutantMore", ">="}, token.GEQ: {"mutantAtLeast", ">"},
}

var arithmetic = map[token.Token][2]string{
	token.ADD: {"mutantPlus", "-"}, token.SUB: {"mutantMinus", "+"}, token.MUL: {"mutantTimes", "/"}, token.QUO: {"mutantOver", "*"},
	token.REM: {"mutantRest", "*"}, token.AND: {"mutantAnd", "|"}, token.OR: {"mutantOr", "&"}, token.AND_NOT: {"mutantAndNot", "&"},
}

func (w *writer) binary(n *ast.BinaryExpr) (string, bool) {
	if w.claim == n {
		return w.claimed(n)
	}
	if b, ok := boundary[n.Op]; ok {
		edge, turned := w.add(n, "as "+b[1]), w.add(n, "turned round")
		return fmt.Sprintf("mutantTurned(%d, %s(%d, %s, %s))", turned, b[0], edge, w.inner(n.X), w.inner(n.Y)), true
	}
	if a, ok := arithmetic[n.Op]; ok && w.isNumber(n) {
		return fmt.Sprintf("%s(%d, %s, %s)", a[0], w.add(n, "as "+a[1]), w.inner(n.X), w.inner(n.Y)), true
	}
	switch n.Op {
	case token.EQL, token.NEQ:
		return fmt.Sprintf("mutantTurned(%d, %s)", w.add(n, "turned round"), w.between(n, n.Pos(), n.End())), true
	case token.LAND, token.LOR:
		return w.logical(n, w.inner), true
	}
	return "", false
}

// logical is && as || and the other way round, by De Morgan, so that the right side is not looked at when it would not be: a || b is !(!a && !b).
func (w *writer) logical(n *ast.BinaryExpr, side func(ast.Node) string) string {
	other := map[token.Token]string{token.LAND: "||", token.LOR: "&&"}[n.Op]
	on := fmt.Sprintf("mutantOn(%d)", w.add(n, "as "+other))
	return fmt.Sprintf("(%s != ((%s != (%s)) %s (%s != (%s))))", on, on, side(n.X), n.Op, on, side(n.Y))
}

// claimed is what an assertion says. To say less, by its && and its comparisons, is not among the changes: while the engine is right, no run
// of it can notice.
func (w *writer) claimed(n *ast.BinaryExpr) (string, bool) {
	w.claim = nil
	switch n.Op {
	case token.LAND:
		return w.part(n.X) + w.raw(n.X.End(), n.Y.Pos()) + w.part(n.Y), true
	case token.LOR:
		return w.logical(n, w.part), true
	case token.LSS, token.GTR:
		return fmt.Sprintf("mutantTurned(%d, %s %s %s)", w.add(n, "turned round"), w.inner(n.X), n.Op, w.inner(n.Y)), true
	}
	return w.binary(n)
}

func (w *writer) part(n ast.Node) string {
	if e, ok := n.(ast.Expr); ok {
		w.claim = ast.Unparen(e)
	}
	defer func() { w.claim = nil }()
	return w.inner(n)
}

func (w *writer) isNumber(n ast.Expr) bool {
	basic, ok := w.info.Types[n].Type.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsNumeric != 0
}

// block has statements that are changed: x++, x += y and calls for their effect, which are left out.
func (w *writer) block(n ast.Node, from token.Pos, list []ast.Stmt, to, begin token.Pos) (string, bool) {
	head := w.raw(begin, from)
	if c, ok := n.(*ast.CaseClause); ok && len(c.List) > 0 {
		var parts []string
		for _, e := range c.List {
			parts = append(parts, w.inner(e))
		}
		head = "case " + strings.Join(parts, ", ") + ":"
	}
	var out strings.Builder
	out.WriteString(head)
	at := from
	for _, s := range list {
		out.WriteString(w.raw(at, s.Pos()))
		out.WriteString(w.statement(s))
		at = s.End()
	}
	out.WriteString(w.raw(at, to))
	return out.String(), true
}

func (w *writer) statement(s ast.Stmt) string {
	switch n := s.(type) {
	case *ast.IncDecStmt:
		other := map[token.Token]string{token.INC: "--", token.DEC: "++"}[n.Tok]
		return fmt.Sprintf("if mutantOn(%d) { %s%s } else { %s }", w.add(n, "as "+other), w.inner(n.X), other, w.raw(n.Pos(), n.End()))
	case *ast.AssignStmt:
		other, ok := map[token.Token]string{token.ADD_ASSIGN: "-=", token.SUB_ASSIGN: "+=", token.OR_ASSIGN: "&=", token.AND_ASSIGN: "|=", token.MUL_ASSIGN: "/="}[n.Tok]
		if ok && w.isNumber(n.Lhs[0]) {
			id, right := w.add(n, "as "+other), w.inner(n.Rhs[0])
			left := w.raw(n.Lhs[0].Pos(), n.Lhs[0].End())
			return fmt.Sprintf("if mutantOn(%d) { %s %s %s } else { %s %s %s }", id, left, other, right, left, n.Tok, right)
		}
	case *ast.ExprStmt:
		if says(n.X, "panic", "assert") {
			break // what never happens: nobody can notice that it is not said
		}
		return fmt.Sprintf("if !mutantOn(%d) { %s }", w.add(n, "left out"), w.inner(n.X))
	}
	return w.inner(s)
}

// says tells whether e is a call of one of the functions.
func says(e ast.Expr, names ...string) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.Ident)
	return ok && slices.Contains(names, f.Name)
}
