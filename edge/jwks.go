package edge

import (
	"encoding/base64"
	"os"
	"strconv"
	"time"
)

type jwkJSON struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	ID    string `json:"kid"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
}

type jwksJSON struct {
	Keys []jwkJSON `json:"keys"`
}

// getKeySet publishes the public keys that verify access tokens (RFC 7517, RFC 8037).
func (s *Server) getKeySet(x *exchange) {
	set := jwksJSON{}
	for _, k := range s.cfg.Keys.ring.Load().keys {
		if k.until.IsZero() || x.now.Before(k.until) {
			set.Keys = append(set.Keys, jwkJSON{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(k.public), k.kid, "sig", "EdDSA"})
		}
	}
	x.ctx.Response.Header.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(jwksMaxAge.Seconds())))
	x.send(200, set)
}

// ReloadKeys reads the file of keys again: what a rotation dropped is void when it returns. The ring stays as it is when the
// file cannot be read.
func (s *Server) ReloadKeys() error {
	err := s.cfg.Keys.reload(time.Now())
	if err != nil {
		s.log.Error("the keys stay as they were", "error", err)
		return err
	}
	s.log.Info("keys read again", "signing", s.cfg.Keys.ring.Load().current.kid)
	return nil
}

// watchKeys looks at the file of keys until stop is closed.
func (s *Server) watchKeys(every time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen, _ := os.Stat(s.cfg.Keys.path)
	_ = s.cfg.Keys.reload(time.Now()) // it may have changed between OpenKeys and here
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		info, err := os.Stat(s.cfg.Keys.path)
		if err != nil {
			continue // it may come back; until then the ring stays
		}
		changed := seen == nil || !os.SameFile(seen, info) || !seen.ModTime().Equal(info.ModTime())
		if (changed || s.cfg.Keys.ring.Load().ended(time.Now())) && s.ReloadKeys() == nil {
			seen = info
		}
	}
}
