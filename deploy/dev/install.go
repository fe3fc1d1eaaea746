package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const installTimeout = 5 * time.Minute

// EnsurePostgres returns the folder of PostgreSQL's server binaries, newest version first. When there is none it installs
// the Debian package, which needs root.
func EnsurePostgres(ctx context.Context) (string, error) {
	if bin := findPostgres(); bin != "" {
		return bin, nil
	}
	if err := aptInstall(ctx, "postgresql"); err != nil {
		return "", err
	}
	if bin := findPostgres(); bin != "" {
		return bin, nil
	}
	return "", errors.New("postgresql is installed, but its server binaries are not found")
}

// EnsureChromium returns a browser for tests of pages: the one that CHROMIUM names, else Debian's, which it installs when it is
// missing; that needs root.
func EnsureChromium(ctx context.Context) (string, error) {
	if named := os.Getenv("CHROMIUM"); named != "" {
		return named, nil
	}
	return ensure(ctx, "chromium", "chromium")
}

// ensure returns the path of a program and installs its Debian package when it is missing, which needs root.
func ensure(ctx context.Context, program, pkg string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if err := aptInstall(ctx, pkg); err != nil {
		return "", err
	}
	return exec.LookPath(program)
}

func findPostgres() string {
	best, newest := "", -1
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range folders {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err == nil && version > newest && hasServer(dir) {
			best, newest = dir, version
		}
	}
	if best != "" {
		return best
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		if dir := strings.TrimSpace(string(out)); hasServer(dir) {
			return dir
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil && hasServer(filepath.Dir(path)) {
		return filepath.Dir(path)
	}
	return ""
}

func hasServer(dir string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// aptInstall installs a Debian package. The package's own cluster is not made and not started.
func aptInstall(ctx context.Context, name string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s is missing; install it: sudo apt-get install -y %s", name, name)
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", name}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, tail(string(text), 500))
		}
	}
	return nil
}
