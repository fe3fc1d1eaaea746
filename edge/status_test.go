package edge

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// Every code of Decide has its row, under the name that the engine gives it.
func TestStatusOfEveryCode(t *testing.T) {
	require.Len(t, kindOfCode, engine.CodeCount)
	for c := range engine.CodeCount {
		k := kindOfCode[c]
		require.Equal(t, engine.Code(c).String(), k.code)
		require.NotEmpty(t, k.title, "code %s", k.code)
		require.Equal(t, engine.Code(c).Refused(), k.status >= 400, "code %s", k.code)
		require.Zero(t, k.retry, "a decided refusal is not cured by waiting: %s", k.code)
	}
}

// Every fault of the actors has its row; none is forgotten when one is added.
func TestStatusOfEveryFault(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../actors/errors.go", nil, 0)
	require.NoError(t, err)
	declared := 0
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			for _, n := range s.(*ast.ValueSpec).Names {
				if strings.HasPrefix(n.Name, "Err") {
					declared++
				}
			}
		}
	}
	require.Positive(t, declared)
	require.Len(t, kindOfError, declared)
	for _, row := range kindOfError {
		k := kindOfFault(fmt.Errorf("wrapped: %w", row.err))
		require.Equal(t, row.kind, k)
		if k.status == 503 || k.status == 504 {
			require.Positive(t, k.retry, "%s needs Retry-After", k.code)
		}
	}
	require.Equal(t, kindInternal, kindOfFault(errors.New("nobody knows")))
}
