package edge

import (
	"math"

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
	Journal     *spaceJSON              `json:"journal,omitempty"`
}

type followerJSON struct {
	OK         bool    `json:"ok"`
	State      string  `json:"state"`
	Cursor     uint64  `json:"cursor"`
	Lag        uint64  `json:"lag"`         // records behind Last
	LagSeconds float64 `json:"lag_seconds"` // age of the oldest record that is missing, from above
}

type spaceJSON struct {
	Used      float64  `json:"used"`
	HoursLeft *float64 `json:"hours_left"` // null: it does not grow
}

// getReady says whether the node serves, and how far each follower of the journal is behind. A follower that is away makes
// nothing unready: bookings go on without it. It asks nobody outside this process.
func (s *Server) getReady(x *exchange) {
	st := s.house.Status()
	out := readyJSON{
		Ready: st.Serving, Reason: st.Reason, Incarnation: st.Incarnation, Last: uint64(st.Last), Resident: st.Resident,
		Quarantined: st.Quarantined, Followers: s.followers(), Journal: s.space(),
	}
	status := 200
	if !out.Ready {
		status = 503
		x.ctx.Response.Header.Set("Retry-After", "2")
	}
	x.send(status, out)
}

func (s *Server) followers() map[string]followerJSON {
	out := make(map[string]followerJSON, len(s.cfg.Followers))
	for name, f := range s.cfg.Followers {
		st := f.Status()
		out[name] = followerJSON{
			OK: st.State == persistence.ProjectorRunning || st.State == persistence.ProjectorStandby && st.Err == nil, State: st.State.String(), Cursor: uint64(st.Position.Seq), Lag: st.LagRecords,
			LagSeconds: math.Round(st.Lag.Seconds()*1000) / 1000,
		}
	}
	return out
}

func (s *Server) space() *spaceJSON {
	if s.cfg.Space == nil {
		return nil
	}
	space := s.cfg.Space()
	out := &spaceJSON{Used: math.Round(space.Used*1e4) / 1e4}
	if !math.IsInf(space.HoursLeft, 0) {
		hours := math.Round(space.HoursLeft*100) / 100
		out.HoursLeft = &hours
	}
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
