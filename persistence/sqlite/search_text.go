package sqlite

import "strings"

// wording is what is asked for: for each word, what it may stand for. Words have letters and digits only, nothing of anybody's
// syntax.
type wording [][]part

type part struct {
	word  string
	begin bool // it may go on
}

// asWritten takes words as they are; the last one may be a beginning.
func asWritten(words []string) wording {
	t := make(wording, len(words))
	for i, w := range words {
		t[i] = []part{{w, i == len(words)-1}}
	}
	return t
}

// match is the text as FTS5 wants it.
func (t wording) match() string {
	words := make([]string, len(t))
	for i, parts := range t {
		either := make([]string, len(parts))
		for k, p := range parts {
			if either[k] = `"` + p.word + `"`; p.begin {
				either[k] += "*"
			}
		}
		words[i] = "(" + strings.Join(either, " OR ") + ")"
	}
	return strings.Join(words, " AND ")
}

// where is the text as a condition on search.words; args are its arguments.
func (t wording) where() string {
	var b strings.Builder
	for _, parts := range t {
		b.WriteString(" AND (instr(s.words, ?) > 0" + strings.Repeat(" OR instr(s.words, ?) > 0", len(parts)-1) + ")")
	}
	return b.String()
}

func (t wording) args() (args []any) {
	for _, parts := range t {
		for _, p := range parts {
			end := " "
			if p.begin {
				end = ""
			}
			args = append(args, " "+p.word+end)
		}
	}
	return args
}
