package rabbitmq

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

// installed is a folder outside the tree with the packages that a package-lock.json pins, installed once.
func installed(t *testing.T, from string) string {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		_, err := exec.LookPath(name)
		require.NoError(t, err, "%s is needed to check the messages with the tools of others", name)
	}
	lock, err := os.ReadFile(filepath.Join(from, "package-lock.json"))
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256(lock)
	name := hex.EncodeToString(sum[:6])
	shared := filepath.Join(cache, "maitred-tools-"+name) // where edge has its own, perhaps at this very moment
	if _, err := os.Stat(filepath.Join(shared, "node_modules", ".installed")); err == nil {
		return shared
	}
	dir := filepath.Join(cache, "maitred-events-"+name)
	done := filepath.Join(dir, "node_modules", ".installed") // written last
	if _, err := os.Stat(done); err == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, file := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(from, file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	run(t, dir, 3*time.Minute, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	require.NoError(t, os.WriteFile(done, nil, 0o644))
	return dir
}

func run(t *testing.T, dir string, most time.Duration, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v:\n%s", name, args, out)
	return string(out)
}

func TestTheDocumentIsLintClean(t *testing.T) {
	tools := installed(t, "../../edge/openapi/tools")
	dir := t.TempDir()
	for _, file := range []string{"asyncapi.yaml", "redocly.yaml"} {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	out := run(t, dir, time.Minute, filepath.Join(tools, "node_modules/.bin/redocly"), "lint", "asyncapi.yaml", "--format=stylish")
	require.NotContains(t, out, "No rules were configured")
	require.NotContains(t, out, "warning  ")
}

// The example consumer, which knows only the document, prints each event of its restaurant once and in order, also when they
// come twice and when it is started in between.
func TestTheExampleConsumer(t *testing.T) {
	packages := installed(t, "../../deploy/examples/consumer")
	dir := t.TempDir()
	for _, file := range []string{"consumer.js", "package.json"} {
		b, err := os.ReadFile(filepath.Join("../../deploy/examples/consumer", file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	require.NoError(t, os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(dir, "node_modules")))

	frames := persistencetest.MakeFrames(12, 300)
	s := open(t, brokerURL(t), &memory.Cursors{})
	_, err := s.Cursor(t.Context())
	require.NoError(t, err)
	restaurant := ""
	for id := range expected(frames) {
		if strings.HasPrefix(id, "rst_") {
			restaurant = max(restaurant, id)
		}
	}
	var want []string
	for _, c := range frames.Events(0, 300) {
		if string(c.Aggregate) != restaurant {
			continue
		}
		m, err := encodeOne(&c)
		require.NoError(t, err)
		subject := m.subject
		if subject == "" {
			subject = "-"
		}
		want = append(want, strings.Join([]string{strings.TrimLeft(m.sequence, "0"), m.kind, subject, string(m.body)}, " "))
	}
	require.Greater(t, len(want), 100)

	_, err = client(t).QueueDelete("example."+s.cfg.exchange()+"."+restaurant, false, false, false) // of the test's last run
	require.NoError(t, err)
	cmd := exec.Command("node", "consumer.js", brokerURL(t), restaurant, s.cfg.exchange())
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said := bufio.NewReader(stderr)
	line, err := said.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)

	next := persistence.Position{Journal: journal, Seq: 150}
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, next, frames.Events(0, 150)))
	again := open(t, brokerURL(t), &memory.Cursors{}) // from the beginning
	finish(t, carry(t, again, frames), frames)

	printed := bufio.NewReader(stdout)
	for i, w := range want {
		got, err := printed.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, w+"\n", got, "line %d", i)
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	rest, err := printed.ReadString('\n')
	require.Error(t, err, "it has printed more: %s", rest)
	require.NoError(t, cmd.Wait())
}
