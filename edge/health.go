package edge

import (
	"context"
	"sync"

	"maitred/persistence"
)

// getHealth says that the process lives.
func (s *Server) getHealth(x *exchange) {
	x.buf = append(x.buf[:0], `{"status":"ok"}`...)
	x.reply(200)
}

type readyJSON struct {
	Ready       bool                    `json:"ready"`
	Reason      string                  `json:"reason,omitempty"`
	Incarnation uint64                  `json:"incarnation"`
	Last        uint64                  `json:"last"` // newest durable sequence
	Resident    int                     `json:"resident"`
	Quarantined int                     `json:"quarantined"`
	Followers   map[string]followerJSON `json:"followers"`
}

type followerJSON struct {
	OK     bool   `json:"ok"`
	Cursor uint64 `json:"cursor"`
	Lag    uint64 `json:"lag"` // sequences behind Last
}

// getReady says whether the node serves, and how far each follower of the journal is behind. A follower that is away makes
// nothing unready: bookings go on without it.
func (s *Server) getReady(x *exchange) {
	st := s.house.Status()
	out := readyJSON{
		Ready: st.Serving, Reason: st.Reason, Incarnation: st.Incarnation, Last: uint64(st.Last), Resident: st.Resident,
		Quarantined: st.Quarantined, Followers: s.followers(st.Last),
	}
	status := 200
	if !out.Ready {
		status = 503
		x.ctx.Response.Header.Set("Retry-After", "2")
	}
	x.send(status, out)
}

func (s *Server) followers(last persistence.Seq) map[string]followerJSON {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	var (
		mu  sync.Mutex
		wg  sync.WaitGroup
		out = make(map[string]followerJSON, len(s.cfg.Followers))
	)
	for name, f := range s.cfg.Followers {
		wg.Go(func() {
			pos, err := f.Cursor(ctx)
			j := followerJSON{OK: err == nil, Cursor: uint64(pos.Seq)}
			if err == nil && last > pos.Seq {
				j.Lag = uint64(last - pos.Seq)
			}
			mu.Lock()
			out[name] = j
			mu.Unlock()
		})
	}
	wg.Wait()
	return out
}

const index = `<!doctype html><html lang="en"><meta charset="utf-8"><title>maitred</title>
<h1>maitred</h1><ul><li><a href="/docs">/docs</a>: the API<li><a href="/openapi.json">/openapi.json</a><li><a href="/healthz">/healthz</a><li><a href="/readyz">/readyz</a></ul>
<p>The API is under /api/v1.</html>
`

func (s *Server) getIndex(x *exchange) {
	x.ctx.Response.Header.SetContentType("text/html; charset=utf-8")
	x.buf = append(x.buf[:0], index...)
	x.reply(200)
}
