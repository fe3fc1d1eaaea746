package cluster

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestGossipLogIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &heard{more: make(chan struct{})}
		refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "refused"}, []string{"reason"})
		g := newGossipLog(slog.New(slog.NewTextHandler(out, nil)), refused)
		flood := func() {
			for i := range 1000 {
				fmt.Fprintf(g, "[ERR] memberlist: Decrypt packet failed: %d\n", i)
				fmt.Fprintf(g, "[ERR] memberlist: discarding packet with unacceptable label \"Decrypt packet failed\": %d\n", i)
				fmt.Fprintf(g, "[WARN] memberlist: anything %s\n", strings.Repeat("x", 10_000))
			}
		}
		flood()
		flood()
		require.Equal(t, 3, strings.Count(out.String(), "\n"))
		<-time.After(logPace)
		flood()
		require.Equal(t, 6, strings.Count(out.String(), "\n"))
		require.Equal(t, 3, strings.Count(out.String(), "skipped=1999"))
		require.Less(t, len(out.String()), 6*2*maxLine)
		require.Equal(t, 3000.0, testutil.ToFloat64(refused.WithLabelValues(refusedKey)))
		require.Equal(t, 3000.0, testutil.ToFloat64(refused.WithLabelValues(refusedLabel)))
	})
}

func TestGossipLogKeepsLevels(t *testing.T) {
	out := &heard{more: make(chan struct{})}
	g := newGossipLog(slog.New(slog.NewTextHandler(out, nil)), prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"reason"}))
	for _, line := range []string{"[DEBUG] memberlist: a", "[INFO] memberlist: b", "[INFO] memberlist: b", "[ERROR] memberlist: c", "Err: d"} {
		_, err := g.Write([]byte(line + "\n"))
		require.NoError(t, err)
	}
	text := out.String()
	require.NotContains(t, text, "msg=a")
	require.Equal(t, 2, strings.Count(text, "level=INFO msg=b\n"))
	require.Contains(t, text, "level=ERROR msg=c")
	require.NotContains(t, text, "Err: d", "the same kind within a second")
}
