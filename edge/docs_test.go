package edge

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/edge/openapi"
)

// besideTheDocument are routes that no program calls.
var besideTheDocument = []string{"GET /", "GET /docs", "GET /docs/docs.js", "GET /docs/redoc.js", "GET /docs/redoc.LICENSE"}

// The document describes exactly the routes that the server has.
func TestDocumentHasEveryRouteAndNoOther(t *testing.T) {
	s := listen(t, &script{})
	var served, described []string
	for method, patterns := range s.router.List() {
		for _, pattern := range patterns {
			if route := method + " " + pattern; !slices.Contains(besideTheDocument, route) {
				served = append(served, route)
			}
		}
	}
	served = append(served, "GET "+api+"/reservations/{id}.ics") // beside the router
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	a := s.ask("GET", "/openapi.json", "", "")
	require.Equal(t, 200, a.StatusCode)
	require.NoError(t, json.Unmarshal([]byte(a.text), &doc))
	for path, methods := range doc.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	require.Equal(t, served, described)
	require.Equal(t, 304, s.ask("GET", "/openapi.json", "", "", "If-None-Match", a.Header.Get("ETag")).StatusCode)
}

// Every kind that status.go names is in the table that the document shows, with its status and its Retry-After.
func TestDocumentHasTheWholeTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "status.go", nil, 0)
	require.NoError(t, err)
	declared := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok || len(literal.Elts) != 4 {
			return true
		}
		if code, ok := literal.Elts[1].(*ast.BasicLit); ok && code.Kind == token.STRING {
			declared[strings.Trim(code.Value, `"`)] = true
		}
		return true
	})
	delete(declared, "ok")
	delete(declared, "created")
	require.Greater(t, len(declared), 35)
	var codes []string
	rows := map[string]openapi.Problem{}
	for _, p := range problems() {
		codes = append(codes, p.Code)
		rows[p.Code] = p
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(declared)), codes)

	b, err := document()
	require.NoError(t, err)
	var doc struct{ Info struct{ Description string } }
	require.NoError(t, json.Unmarshal(b, &doc))
	shown := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d+) \\| (\\d+ s|do not) \\| (.+) \\|$").FindAllStringSubmatch(doc.Info.Description, -1)
	require.Len(t, shown, len(rows))
	for _, row := range shown {
		p := rows[row[1]]
		retry := "do not"
		if p.Retry > 0 {
			retry = strings.TrimSpace(strings.Join([]string{itoa(p.Retry), "s"}, " "))
		}
		require.Equal(t, []string{itoa(p.Status), retry, p.Title}, row[2:], row[1])
	}
}
