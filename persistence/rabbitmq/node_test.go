package rabbitmq

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

func TestTheDocumentIsLintClean(t *testing.T) {
	modules, err := dev.NodeModules(t.Context(), "../../edge/openapi/tools")
	require.NoError(t, err)
	dir := t.TempDir()
	for _, file := range []string{"asyncapi.yaml", "redocly.yaml"} {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	out, err := dev.RunTool(t.Context(), time.Minute, dir, filepath.Join(modules, ".bin/redocly"), "lint", "asyncapi.yaml", "--format=stylish")
	require.NoError(t, err)
	require.NotContains(t, out, "No rules were configured")
	require.NotContains(t, out, "warning  ")
}

// The example consumer, which knows only the document, prints each event of its restaurant once and in order, also when they
// come twice and when it is started in between.
func TestTheExampleConsumer(t *testing.T) {
	modules, err := dev.NodeModules(t.Context(), "../../deploy/examples/consumer")
	require.NoError(t, err)
	dir := t.TempDir()
	for _, file := range []string{"consumer.js", "package.json"} {
		b, err := os.ReadFile(filepath.Join("../../deploy/examples/consumer", file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))

	frames := persistencetest.MakeFrames(12, 300)
	s := open(t, brokerURL(t), &memory.Cursors{})
	_, err = s.Cursor(t.Context())
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
