package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What only root can do: mounting images, looking into another process.

// needRoot skips a test without root, by a name that can be searched for, and fails it where everything must run. Missing
// tools are installed with apt-get.
func needRoot(t *testing.T, tools map[string]string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s needs root, and CI must run everything", t.Name())
		}
		t.Skipf("SKIPPED-NO-ROOT %s", t.Name())
	}
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		must(t, "apt-get", "update", "-qq")
		must(t, "apt-get", "install", "-y", "-qq", "--no-install-recommends", pkg)
	}
}

var (
	mounting = map[string]string{"mount": "mount", "mkfs.ext4": "e2fsprogs", "losetup": "mount"}
	tracing  = map[string]string{"strace": "strace"}
)

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}

// volume is an ext4 file system in an image file.
type volume struct {
	t     *testing.T
	image string
	dir   string // where it is mounted
}

// newVolume makes and mounts one of so many MiB, without blocks reserved for root.
func newVolume(t *testing.T, mib int) *volume {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(int64(mib)<<20))
	require.NoError(t, f.Close())
	must(t, "mkfs.ext4", "-q", "-F", "-m", "0", image)
	return mounted(t, image)
}

func mounted(t *testing.T, image string) *volume {
	t.Helper()
	v := &volume{t: t, image: image, dir: image + ".mnt"}
	require.NoError(t, os.Mkdir(v.dir, 0o700))
	must(t, "mount", "-o", "loop", image, v.dir)
	t.Cleanup(v.unmount)
	return v
}

func (v *volume) unmount() {
	if v.dir == "" {
		return
	}
	if out, err := exec.Command("umount", v.dir).CombinedOutput(); err != nil { // a failed test may leave its server for a moment
		v.t.Logf("umount %s: %v: %s", v.dir, err, out)
		must(v.t, "umount", "-l", v.dir)
	}
	v.dir = ""
}

func (v *volume) data() string { return filepath.Join(v.dir, "data") }

// cut is what a disk would hold after a power cut now: a copy of the image while the old one is still mounted, so that pages
// that were never synced are not in it. The old volume is taken away.
func (v *volume) cut() *volume {
	v.t.Helper()
	next := filepath.Join(v.t.TempDir(), "image")
	must(v.t, "cp", "--sparse=always", v.image, next)
	v.unmount()
	require.NoError(v.t, os.Remove(v.image))
	return mounted(v.t, next)
}

// free is how many bytes may be written still.
func (v *volume) free() int64 {
	var st unix.Statfs_t
	require.NoError(v.t, unix.Statfs(v.dir, &st))
	return int64(st.Bavail) * st.Bsize
}

// fill leaves so many bytes free, by allocating the rest at once.
func (v *volume) fill(leave int64) {
	v.t.Helper()
	f, err := os.Create(filepath.Join(v.dir, "ballast"))
	require.NoError(v.t, err)
	defer f.Close()
	var size int64
	for step := v.free() - leave; step >= 4096; step /= 2 { // the file system's own needs make the last step smaller
		if unix.Fallocate(int(f.Fd()), 0, size, step) == nil {
			size += step
		}
	}
	require.Positive(v.t, size, "the volume could not be filled")
}

func (v *volume) empty() {
	v.t.Helper()
	require.NoError(v.t, os.Remove(filepath.Join(v.dir, "ballast")))
}

// tracer is a strace that injects faults into a running server.
type tracer struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  string
	done chan struct{}
}

// What a tracer may hurt.
const (
	syncing = "fsync,fdatasync"
	writing = "write,pwrite64"
)

// trace attaches to a server; inject is strace's expression for the calls, e.g. "error=EIO". When paths are given, only these
// files are hurt.
func trace(t *testing.T, pid int, calls, inject string, paths ...string) *tracer {
	t.Helper()
	r := &tracer{t: t, out: filepath.Join(t.TempDir(), "strace"), done: make(chan struct{})}
	args := []string{"-f", "-p", fmt.Sprint(pid), "-o", r.out, "-e", "trace=" + calls, "-e", "inject=" + calls + ":" + inject}
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	r.cmd = exec.Command("strace", args...)
	said := &lines{}
	r.cmd.Stderr = said
	require.NoError(t, r.cmd.Start())
	go func() { _ = r.cmd.Wait(); close(r.done) }()
	require.Eventually(t, func() bool { return strings.Contains(said.String(), "attached") || r.ended() }, readyWithin, pollEvery)
	require.False(t, r.ended(), "strace: %s", said)
	t.Cleanup(r.detach)
	return r
}

func (r *tracer) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// hits is how often the fault was injected.
func (r *tracer) hits() int {
	b, _ := os.ReadFile(r.out)
	return strings.Count(string(b), "(INJECTED)") + strings.Count(string(b), "(DELAYED)")
}

// detach lets the server run on without the fault.
func (r *tracer) detach() {
	if r.ended() {
		return
	}
	_ = r.cmd.Process.Signal(os.Interrupt)
	<-r.done
}
