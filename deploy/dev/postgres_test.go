package dev

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const childVariable = "DEV_TEST_CHILD"

// TestMain lets the test binary play the process that starts a server and is killed.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		playChild()
		return
	}
	os.Exit(m.Run())
}

func playChild() {
	p, err := StartPostgres(context.Background(), PostgresOptions{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(p.PID, p.Dir)
	select {} // until killed
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestPostgresRunsDurablyAndLeavesNothing(t *testing.T) {
	p, err := StartPostgres(t.Context(), PostgresOptions{Settings: map[string]string{"shared_buffers": "24MB"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })

	for _, dsn := range []string{p.DSN, p.SocketDSN} {
		conn, err := pgx.Connect(t.Context(), dsn)
		require.NoError(t, err, dsn)
		for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "shared_buffers": "24MB"} {
			var got string
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got))
			require.Equal(t, want, got, setting)
		}
		require.NoError(t, conn.Close(t.Context()))
	}

	require.True(t, alive(p.PID))
	require.NoError(t, p.Close())
	require.NoError(t, p.Close(), "closing twice is fine")
	require.False(t, alive(p.PID))
	require.NoDirExists(t, p.Dir)
}

// A server must not outlive the process that asked for it, also when that is killed and cannot clean up.
func TestPostgresEndsWithItsParent(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	var pid int
	var dir string
	_, err = fmt.Sscan(strings.TrimSpace(line), &pid, &dir)
	require.NoError(t, err, line)
	require.True(t, alive(pid))
	require.FileExists(t, filepath.Join(dir, "data", "postmaster.pid"))

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Eventually(t, func() bool { return !alive(pid) }, 20*time.Second, 20*time.Millisecond, "the server outlived its parent")
	require.Eventually(t, func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) }, 20*time.Second, 20*time.Millisecond, "its folder is still there")
}

func TestTwoServersLiveSideBySide(t *testing.T) {
	a, err := StartPostgres(t.Context(), PostgresOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	parent := t.TempDir() // of our account, not the server's
	require.NoError(t, os.Chmod(parent, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(parent), 0o755))
	b, err := StartPostgres(t.Context(), PostgresOptions{Dir: parent})
	require.NoError(t, err)
	require.NotEqual(t, a.DSN, b.DSN)
	require.NoError(t, b.Close())
	require.NoDirExists(t, b.Dir)
	require.NoError(t, ping(t.Context(), a.DSN))
}

func TestStartSaysWhatTheServerSaid(t *testing.T) {
	parent := t.TempDir()
	require.NoError(t, os.Chmod(parent, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(parent), 0o755))
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: parent, Settings: map[string]string{"shared_buffers": "lots"}})
	require.ErrorContains(t, err, "shared_buffers")
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}
