package edge

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var strict = json.RejectUnknownMembers(true)

// decode reads a JSON object strictly: no unknown or repeated member, names case-sensitive, valid UTF-8, nothing after it.
func decode(body []byte, into any) *trouble {
	if !isObject(body) {
		return refusal(kindMalformed)
	}
	err := json.Unmarshal(body, into, strict)
	if err == nil {
		return noNull(body)
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return refusal(kindMalformed)
	}
	field := fieldOf(semantic.JSONPointer)
	switch {
	case errors.Is(semantic.Err, json.ErrUnknownName):
		return &trouble{kind: kindUnknownMember, field: field}
	case errors.Is(semantic.Err, strconv.ErrRange):
		return &trouble{kind: kindInvalid, field: field, detail: "the number is too large"}
	}
	return &trouble{kind: kindWrongType, field: field}
}

// noNull refuses null, which Unmarshal takes for an empty value or for a member that is not given; who means to clear something must not
// be told 200 by a server that left it alone. The one member that may be null is named here.
func noNull(body []byte) *trouble {
	if !bytes.Contains(body, []byte("null")) {
		return nil
	}
	for d := jsontext.NewDecoder(bytes.NewReader(body)); ; {
		t, err := d.ReadToken()
		if err != nil {
			return nil // the end: it was read once before
		}
		if at := d.StackPointer(); t.Kind() == 'n' && at != "/paused_until" {
			return &trouble{kind: kindWrongType, field: fieldOf(at)}
		}
	}
}

// decodeOptional is decode for a body that may be left out.
func decodeOptional(body []byte, into any) *trouble {
	if len(body) == 0 {
		return nil
	}
	return decode(body, into)
}

// isObject says whether the first thing in b is an object. null, which would decode into anything, is none.
func isObject(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{'
		}
	}
	return false
}

// fieldOf names a member for people, cut to a bound and rid of what is not text: it comes from the request.
func fieldOf(p jsontext.Pointer) string {
	var names []string
	for name := range p.Tokens() {
		names = append(names, name)
	}
	field := strings.Join(names, ".")
	clean := strings.Map(func(r rune) rune {
		if !textRune(r) {
			return -1
		}
		return r
	}, field)
	for len(clean) > 64 {
		_, n := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-n]
	}
	return clean
}
