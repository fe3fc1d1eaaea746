package edge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"maitred/engine"
)

// usrLen is the length of an account id.
const usrLen = len("usr_") + 26

// fitsID says whether s has the grammar that every id of the API has.
func fitsID(s string) bool {
	if len(s) == 0 || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// innerID is the restaurant of a table's or a reservation's id; false when id does not fit the grammar.
func innerID(id, prefix string) (engine.RestaurantID, bool) {
	if !strings.HasPrefix(id, prefix) {
		return "", false
	}
	return engine.RestaurantOf(id)
}

// mint reads randomness: fresh ids and keys. crypto/rand never fails; another source that does is a fault.
type mint struct{ random io.Reader }

func (m mint) read(b []byte) {
	if _, err := io.ReadFull(m.random, b); err != nil {
		panic(fmt.Sprintf("edge: the random source failed: %v", err))
	}
}

func (m mint) uint64() uint64 {
	var b [8]byte
	m.read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// accountID is the keyed hash of a normalised e-mail.
func accountID(key []byte, email string) engine.AccountID {
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, email) // a hash takes everything
	return engine.MakeAccountID([16]byte(h.Sum(nil)))
}

// normalEmail trims, lowers and checks an e-mail address; false when it cannot be one.
func normalEmail(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > maxEmail || strings.IndexByte(s[:at], '@') >= 0 {
		return "", false
	}
	domain := s[at+1:]
	if len(domain) < 3 || strings.IndexByte(domain, '.') < 1 || domain[len(domain)-1] == '.' {
		return "", false
	}
	for _, c := range s {
		if c <= ' ' || c == 0x7f || !textRune(c) || strings.ContainsRune(`<>()[]\,;:"`, c) {
			return "", false
		}
	}
	return s, true
}
