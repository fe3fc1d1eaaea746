package jetstream

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// A server that still has the writer's last append on its list refuses the next one, which is surely not stored, and takes it a moment later.
func TestAnAppendBehindAnotherIsSentAgain(t *testing.T) {
	for refusals, want := range map[int]error{0: nil, 1: nil, 5: nil, 1000: persistence.ErrConflict} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			s, nc := plainServer(t)
			l, sent := &link{server: s, writes: nc, gone: make(chan struct{})}, 0
			var err error
			l.callers, err = newCallers(nc)
			require.NoError(t, err)
			_, err = nc.Subscribe("j.w.n1", func(m *nats.Msg) {
				sent++
				if string(m.Data) != "record" || m.Header.Get(expectedHeader) != "6" {
					t.Errorf("sent %q, expecting %q", m.Data, m.Header.Get(expectedHeader))
				}
				answer := `{"stream":"JOURNAL","seq":7}`
				if sent <= refusals {
					answer = `{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"JOURNAL","seq":0}`
				}
				_ = m.Respond([]byte(answer))
			})
			require.NoError(t, err)
			seq, err := l.publish(t.Context(), "j.w.n1", nil, []byte("record"), 6, appendTimeout)
			require.ErrorIs(t, err, want)
			require.Equal(t, want == nil, seq == 7)
			require.Equal(t, min(refusals, 5)+1, sent)
		})
	}
}
