package enginetest

import (
	"strings"

	"maitred/engine"
)

// assign chooses tables as staff do: mostly one or two, sometimes one twice, none or too many.
func (s *Stream) assign() *engine.AssignTables {
	c := &engine.AssignTables{ID: s.reservation(), Override: s.reason()}
	n := 1 + s.src.IntN(3)
	if s.one(20) {
		n = 9 * s.src.IntN(2)
	}
	for range n {
		c.Tables = append(c.Tables, s.table())
	}
	return c
}

func (s *Stream) annotate() *engine.Annotate {
	c := &engine.Annotate{ID: s.reservation(), Note: []string{"", "regular", "window, please"}[s.src.IntN(3)]}
	if s.one(20) {
		c.Note = strings.Repeat("x", engine.MaxNote+1)
	}
	return c
}

// reason is why rules do not hold; mostly they do.
func (s *Stream) reason() string {
	switch n := s.src.IntN(120); {
	case n == 0:
		return strings.Repeat("x", engine.MaxOverride+1)
	case n < 30:
		return "a friend of the house"
	}
	return ""
}
