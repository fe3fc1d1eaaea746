package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"maitred/engine"
	"maitred/persistence"
)

// statePath begins the path of a state that a node hands to the next owner of its partition: then come the aggregate, the version
// and the revision of its last base. The body is the state, as a base has it.
const statePath = "/state/"

// handState sends states to other nodes; nil when there are none.
func (n *Node) handState() func(context.Context, string, persistence.Base) error {
	if n.cell == nil {
		return nil
	}
	return func(ctx context.Context, to string, b persistence.Base) error {
		m, known := n.cell.members.Get(to)
		end, bounded := ctx.Deadline()
		if !known || !bounded {
			return fmt.Errorf("%q is no member of the cluster now, or there is no deadline", to)
		}
		path := fmt.Sprintf("%s%s/%d/%d", statePath, b.ID, b.Version, b.Revision)
		a, err := n.cell.hop.Call(to, m.Hop, path, b.State, end)
		if err == nil && a.Status != http.StatusOK {
			err = fmt.Errorf("%s does not take the state: %d", to, a.Status)
		}
		return err
	}
}

// takeState keeps a state that another node hands over; an older build answers 404.
func (n *Node) takeState(path string, body []byte) (status int, answer []byte) {
	part := strings.Split(strings.TrimPrefix(path, statePath), "/")
	if len(part) != 3 {
		return http.StatusBadRequest, nil
	}
	version, err1 := strconv.ParseUint(part[1], 10, 64)
	revision, err2 := strconv.ParseUint(part[2], 10, 64)
	if err1 != nil || err2 != nil {
		return http.StatusBadRequest, nil
	}
	b := persistence.Base{State: bytes.Clone(body)}
	b.ID, b.Version, b.Revision = engine.AggregateID(part[0]), engine.Version(version), persistence.Revision(revision)
	if err := n.house.Take(b); err != nil {
		return http.StatusInsufficientStorage, []byte(err.Error())
	}
	return http.StatusOK, nil
}
