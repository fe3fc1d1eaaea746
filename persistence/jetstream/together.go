package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// togetherAfter is how long journal and bases must have had different leaders before one of them is moved.
const togetherAfter = 2 * time.Second

// together brings the leader of the bases to the server that leads the journal. A restaurant that moves is opened from its base, so the loss of
// either leader costs the guests an election of 4 to 9 s; on one server, the loss of any other costs none.
type together struct{ apart time.Time }

type stepDown struct {
	Placement struct {
		Preferred string `json:"preferred"`
	} `json:"placement"`
}

// due names the server that should lead the bases, when this one leads them and has for long enough; empty = nothing is to be done.
func (t *together) due(own string, journal, bases *jetstream.ClusterInfo, now time.Time) string {
	to := ""
	if journal != nil && bases != nil && bases.Leader == own && journal.Leader != own {
		for _, r := range bases.Replicas {
			if r.Name == journal.Leader && r.Current && !r.Offline {
				to = r.Name
			}
		}
	}
	switch {
	case to == "":
		t.apart = time.Time{}
	case t.apart.IsZero():
		t.apart = now
	case now.Sub(t.apart) >= togetherAfter:
		t.apart = time.Time{}
		return to
	}
	return ""
}

func (w *watchdog) bringTogether(ctx context.Context, l *link, journal, bases *jetstream.StreamInfo) error {
	to := w.together.due(w.home.opts.Name, journal.Cluster, bases.Cluster, time.Now())
	if to == "" {
		return nil
	}
	var r stepDown
	r.Placement.Preferred = to
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := l.reads.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+baseStream, body); err != nil {
		return fmt.Errorf("let %s lead the bases: %w", to, err)
	}
	w.home.opts.Logger.Info("jetstream: the bases are led where the journal is", "server", to)
	return nil
}
