package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The architecture as a test: who may import what, and the shape of the code. Adding a line to the table is an
// architecture decision and belongs into the DESIGN.md of the room.

const module = "maitred"

// rule says what a package may import: of ours (exact), and of third parties (by prefix).
type rule struct{ ours, third []string }

const (
	protobufLib   = "google.golang.org/protobuf"
	vtprotobufLib = "github.com/planetscale/vtprotobuf"
	clientGolang  = "github.com/prometheus/client_golang"
	fasthttpLib   = "github.com/valyala/fasthttp"
	xxhashLib     = "github.com/cespare/xxhash"
)

var generated = []string{protobufLib, vtprotobufLib}

var table = map[string]rule{
	"engine":                    {ours: []string{"engine/enginepb"}, third: generated},
	"engine/enginepb":           {third: generated},
	"engine/enginetest":         {ours: []string{"engine", "engine/enginepb"}, third: []string{"pgregory.net/rapid"}},
	"engine/enginetest/mutants": {},

	"persistence":           {ours: []string{"engine", "engine/enginepb", "persistence/recordpb"}, third: []string{protobufLib, clientGolang, xxhashLib, "golang.org/x/text", "github.com/cenkalti/backoff"}},
	"persistence/recordpb":  {third: generated},
	"persistence/memory":    {ours: []string{"engine", "persistence"}},
	"persistence/jetstream": {ours: []string{"engine", "persistence"}, third: []string{"github.com/nats-io", "golang.org/x/sys", clientGolang}},
	"persistence/sqlite":    {ours: []string{"engine", "engine/enginepb", "persistence", "migrations"}, third: []string{"modernc.org/sqlite", "github.com/pressly/goose", protobufLib}},
	"persistence/postgres":  {ours: []string{"engine", "engine/enginepb", "persistence", "migrations"}, third: []string{"github.com/jackc/pgx", "github.com/pressly/goose", clientGolang}},
	"persistence/redis":     {ours: []string{"engine", "engine/enginepb", "persistence"}, third: []string{"github.com/redis/go-redis/v9", "github.com/go-redis/redis_rate", "github.com/failsafe-go/failsafe-go", clientGolang}},
	"persistence/rabbitmq":  {ours: []string{"engine", "engine/enginepb", "persistence"}, third: []string{"github.com/rabbitmq/amqp091-go"}},
	"persistence/persistencetest": {
		ours: []string{"engine", "engine/enginepb", "engine/enginetest", "persistence", "persistence/memory"}, third: []string{"github.com/stretchr/testify", "pgregory.net/rapid", protobufLib},
	},

	"actors":  {ours: []string{"engine", "engine/enginepb", "persistence"}, third: []string{"github.com/anthdm/hollywood/actor", clientGolang, "github.com/puzpuzpuz/xsync", "golang.org/x/sys"}},
	"cluster": {ours: []string{"engine", "persistence"}, third: []string{"github.com/hashicorp/memberlist", fasthttpLib, xxhashLib, clientGolang}},
	"edge": {
		ours:  []string{"engine", "actors", "cluster", "persistence", "edge/openapi", "edge/hoppb"},
		third: []string{fasthttpLib, "github.com/fasthttp/router", "github.com/arran4/golang-ical", clientGolang, "github.com/go-json-experiment/json", "github.com/golang-jwt/jwt", "golang.org/x/crypto", "github.com/alexedwards/argon2id", "github.com/maypok86/otter", "github.com/puzpuzpuz/xsync", "golang.org/x/sync", "golang.org/x/time", xxhashLib, "go.opentelemetry.io/otel"},
	},
	"edge/openapi": {},
	"edge/hoppb":   {third: generated},
	"bench": {
		ours:  []string{"engine", "engine/enginetest", "deploy/dev", "bench/chart"},
		third: []string{fasthttpLib, "github.com/jackc/pgx", "github.com/HdrHistogram", "github.com/alecthomas/kong", "github.com/jedib0t/go-pretty", "golang.org/x/sys", "golang.org/x/sync", "gonum.org/v1/plot", "github.com/prometheus/common", "github.com/prometheus/client_model"},
	},
	// What many nodes would be like is worked out with the ring and the times of the code itself, not with a copy of them.
	"bench/plan":  {ours: []string{"engine", "actors", "cluster", "persistence", "bench/chart"}, third: []string{"gonum.org/v1/plot"}},
	"bench/chart": {third: []string{"gonum.org/v1/plot"}},

	"migrations":      {},
	"deploy/demo":     {ours: []string{"engine"}},
	"deploy/services": {ours: []string{"deploy/dev"}, third: []string{"github.com/alecthomas/kong"}},
	"deploy/dev":      {third: []string{"golang.org/x/sys", "github.com/jackc/pgx"}},
}

// notInEngine is what would make a decision depend on more than state, time and command.
var notInEngine = []string{"context", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "sync", "sync/atomic", "crypto/rand"}

var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "models", "types"}

const (
	maxFuncLines = 70
	maxFileLines = 500
)

type source struct {
	path, pkg string // from the module's root
	test      bool
	fset      *token.FileSet
	ast       *ast.File
}

func TestTidy(t *testing.T) {
	sources := parseTree(t)
	var faults []string
	report := func(s source, pos token.Pos, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s:%d: ", s.path, s.fset.Position(pos).Line)+fmt.Sprintf(format, args...))
	}
	documented, hollywood := map[string]bool{}, map[string]bool{}
	for _, s := range sources {
		documented[s.pkg] = documented[s.pkg] || (s.ast.Doc != nil && !s.test)
		if !s.test && imports(s, "github.com/anthdm/hollywood/actor") {
			hollywood[s.path] = true
		}
		checkImports(s, report)
		checkSize(s, report)
		checkWords(s, report)
		if s.pkg == "engine" && !s.test {
			checkPure(s, report)
		}
	}
	for _, s := range sources {
		if !documented[s.pkg] && !s.test {
			report(s, s.ast.Package, "package %s has no doc comment", s.pkg)
			documented[s.pkg] = true
		}
	}
	if len(hollywood) > 1 {
		faults = append(faults, fmt.Sprintf("hollywood is imported by more than one file: %v", hollywood))
	}
	slices.Sort(faults)
	for _, f := range faults {
		t.Error(f)
	}
}

func parseTree(t *testing.T) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "data" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file) {
			sources = append(sources, source{path, filepath.ToSlash(filepath.Dir(path)), strings.HasSuffix(path, "_test.go"), fset, file})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 20 {
		t.Fatalf("only %d files seen: is the test run in the module's root?", len(sources))
	}
	return sources
}

func imports(s source, path string) bool {
	return slices.ContainsFunc(s.ast.Imports, func(i *ast.ImportSpec) bool { return strings.Trim(i.Path.Value, `"`) == path })
}

func checkImports(s source, report func(source, token.Pos, string, ...any)) {
	if s.pkg == "." || s.test {
		return
	}
	allowed, known := table[s.pkg]
	if !known {
		report(s, s.ast.Package, "package %s has no row in the import table", s.pkg)
		return
	}
	for _, spec := range s.ast.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		ours, isOurs := strings.CutPrefix(path, module+"/")
		switch {
		case isOurs && slices.Contains(allowed.ours, ours):
		case !isOurs && !strings.Contains(strings.SplitN(path, "/", 2)[0], "."): // standard library
		case !isOurs && slices.ContainsFunc(allowed.third, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }):
		default:
			report(s, spec.Pos(), "%s may not import %s", s.pkg, path)
		}
	}
}

func checkSize(s source, report func(source, token.Pos, string, ...any)) {
	if s.test {
		return
	}
	if lines := s.fset.Position(s.ast.End()).Line; lines > maxFileLines {
		report(s, s.ast.Package, "file has %d lines, at most %d", lines, maxFileLines)
	}
	for _, d := range s.ast.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFuncLines {
			report(s, f.Pos(), "function %s has %d lines, at most %d", f.Name.Name, n, maxFuncLines)
		}
	}
}

func checkWords(s source, report func(source, token.Pos, string, ...any)) {
	if slices.Contains(bannedNames, s.ast.Name.Name) {
		report(s, s.ast.Package, "a package named %s says nothing", s.ast.Name.Name)
	}
	for _, group := range s.ast.Comments {
		for _, c := range group.List {
			if strings.Contains(c.Text, "TO"+"DO") || strings.Contains(c.Text, "FIX"+"ME") {
				report(s, c.Pos(), "a note to oneself is left: do it or open an issue")
			}
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			if strings.Contains(n.Name.Name, "Book"+"ing") {
				report(s, n.Pos(), "the word is reservation")
			}
		case *ast.CallExpr:
			if s.test && isCall(n, "time", "Sleep") {
				report(s, n.Pos(), "tests wait for signals, they do not sleep")
			}
		}
		return true
	})
}

func checkPure(s source, report func(source, token.Pos, string, ...any)) {
	for _, spec := range s.ast.Imports {
		if path := strings.Trim(spec.Path.Value, `"`); slices.Contains(notInEngine, path) {
			report(s, spec.Pos(), "engine is pure: no %s", path)
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			report(s, n.Pos(), "engine is single-threaded")
		case *ast.CallExpr:
			for _, f := range []string{"Now", "Since", "Until", "After", "Sleep"} {
				if isCall(n, "time", f) {
					report(s, n.Pos(), "engine has no clock: time.%s", f)
				}
			}
		}
		return true
	})
}

func isCall(n *ast.CallExpr, pkg, name string) bool {
	sel, ok := n.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}

func TestTopLevelFoldersAreTheRooms(t *testing.T) {
	rooms := []string{"engine", "actors", "edge", "persistence", "cluster", "bench", "migrations", "deploy"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "data" && e.Name() != "bin" && !slices.Contains(rooms, e.Name()) {
			t.Errorf("%s is not a room", e.Name())
		}
	}
}
