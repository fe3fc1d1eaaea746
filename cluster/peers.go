package cluster

import (
	"fmt"
	"time"
)

// Peers reaches nodes by their names.
type Peers struct {
	Hop  *Hop
	Find func(name string) (Member, bool)
}

// Call is Hop.Call to where the node listens now.
func (p *Peers) Call(node, path string, body []byte, deadline time.Time) (Answer, error) {
	m, known := p.Find(node)
	if !known {
		return Answer{}, fmt.Errorf("%w: %s is no member", ErrNotSent, node)
	}
	return p.Hop.Call(node, m.Hop, path, body, deadline)
}
