package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What README tells a newcomer to paste works, against the demo on a free port.
func TestReadmeIntegrateInFiveMinutes(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(readme), "## Integrate in five minutes")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```bash\n(.*?)```").FindAllStringSubmatch(section, -1)
	require.NotEmpty(t, blocks)

	s := newServer(t, t.TempDir(), "--demo")
	s.start()
	require.Eventually(t, func() bool { return strings.Contains(s.said.tail(), "three lines to paste") }, time.Minute, pollEvery, "the demo is loaded")
	require.Eventually(t, func() bool {
		out, err := exec.Command("curl", "-sf", "http://"+s.addr+"/api/v1/restaurants?city=Roma&limit=1").Output()
		return err == nil && strings.Contains(string(out), "rst_")
	}, time.Minute, pollEvery, "the read model has followed")
	for _, block := range blocks {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block[1])
		cmd.Env = append(os.Environ(), "ORIGIN=http://"+s.addr)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", block[1], out)
		require.Equal(t, "cancelled", strings.TrimSpace(string(out)))
	}
}
