package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// gatherEvery bounds how often a lead is asked for: the election that follows takes its time.
const gatherEvery = 5 * time.Second

// gather brings the lead of the bases to the server that leads the journal. Else the loss of a node that leads the bases alone is an
// election (4 to 9 s) during which its heirs cannot open a restaurant that has a base, although the journal goes on.
func (w *watchdog) gather(ctx context.Context, l *link, bases *jetstream.StreamInfo) error {
	own := w.home.opts.Name
	if w.home.opts.Cluster == nil || bases.Cluster == nil || bases.Cluster.Leader == "" || bases.Cluster.Leader == own {
		return nil
	}
	if !l.server.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, journalStream) || time.Since(w.gathered) < gatherEvery {
		return nil
	}
	w.gathered = time.Now()
	order, err := json.Marshal(server.JSApiLeaderStepdownRequest{Placement: &server.Placement{Preferred: own}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := l.reads.RequestWithContext(ctx, fmt.Sprintf(server.JSApiStreamLeaderStepDownT, baseStream), order); err != nil {
		return fmt.Errorf("ask for the lead of the bases: %w", err)
	}
	return nil
}
