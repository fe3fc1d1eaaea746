package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/hashicorp/memberlist"
)

// Meta is what a process adds to its name.
type Meta struct {
	Incarnation uint64 // random, of this start of the process, never 0: tells two processes of one name apart
	Weight      uint16 // of the node in the ring
	Version     string // of the build
	API, Hop    string // host:port of the public API and of the listener for other nodes; may be empty
	Draining    bool   // wants to give its partitions away
	Protocol    uint16 // engine.Protocol of the build; 0 = of a build that did not say
}

const (
	metaFormat   = 1
	metaDraining = 1 << 0
)

var errMeta = errors.New("cluster: not the meta of a member")

// encode writes format, flags, weight, incarnation, three strings with their lengths, and the protocol. A later build may append fields, and
// this one passes over them, so that both are members of one cluster during a roll-out.
func (m Meta) encode() ([]byte, error) {
	flags := byte(0)
	if m.Draining {
		flags |= metaDraining
	}
	out := binary.BigEndian.AppendUint16([]byte{metaFormat, flags}, m.Weight)
	out = binary.BigEndian.AppendUint64(out, m.Incarnation)
	for _, s := range []string{m.Version, m.API, m.Hop} {
		out = append(append(out, byte(len(s))), s...)
	}
	out = binary.BigEndian.AppendUint16(out, m.Protocol)
	if len(out) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errMeta, len(out), memberlist.MetaMaxSize)
	}
	if back, err := decodeMeta(out); err != nil {
		return nil, err
	} else if back != m {
		return nil, fmt.Errorf("%w: a string is too long", errMeta)
	}
	return out, nil
}

func decodeMeta(b []byte) (Meta, error) {
	if len(b) < 12 || len(b) > memberlist.MetaMaxSize || b[0] != metaFormat {
		return Meta{}, errMeta
	}
	m := Meta{
		Draining: b[1]&metaDraining != 0, Weight: binary.BigEndian.Uint16(b[2:]), Incarnation: binary.BigEndian.Uint64(b[4:]),
	}
	b = b[12:]
	for _, s := range []*string{&m.Version, &m.API, &m.Hop} {
		if len(b) == 0 || len(b) <= int(b[0]) {
			return Meta{}, errMeta
		}
		*s, b = string(b[1:1+b[0]]), b[1+b[0]:]
		if !printable(*s) {
			return Meta{}, errMeta
		}
	}
	if len(b) == 1 {
		return Meta{}, errMeta
	}
	if len(b) > 1 { // else of a build from before
		m.Protocol = binary.BigEndian.Uint16(b)
	}
	if m.Incarnation == 0 || !address(m.API) || !address(m.Hop) {
		return Meta{}, errMeta
	}
	return m, nil
}

// printable keeps what strangers say out of terminals and logs unless it is plain text.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func address(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return s == "" || err == nil && host != "" && port != ""
}
