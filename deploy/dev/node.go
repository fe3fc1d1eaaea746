package dev

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// NodeModules returns a folder node_modules with what the package-lock.json in from pins. It lies in the user's cache, is installed once,
// and appears whole or not at all, so tests of several packages may ask at the same time. Node and npm must be there.
func NodeModules(ctx context.Context, from string) (string, error) {
	lock, err := os.ReadFile(filepath.Join(from, "package-lock.json"))
	if err != nil {
		return "", fmt.Errorf("node modules: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("node modules: %w", err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "maitred-npm-"+hex.EncodeToString(sum[:6]))
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	if err := installNodeModules(ctx, cache, dir, from); err != nil {
		return "", fmt.Errorf("install the packages of %s: %w", from, err)
	}
	return modules, nil
}

func installNodeModules(ctx context.Context, cache, dir, from string) (err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	made, err := os.MkdirTemp(cache, "maitred-npm-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	for _, file := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(made, file), b, 0o644); err != nil {
			return err
		}
	}
	if _, err := RunTool(ctx, installTimeout, made, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
		return err
	}
	err = os.Rename(made, dir)
	if _, there := os.Stat(filepath.Join(dir, "node_modules")); there == nil {
		return nil // by us, or by somebody who was faster
	}
	return err
}

// RunTool runs a program in dir, for most at the longest, and returns what it printed; so does the error.
func RunTool(ctx context.Context, most time.Duration, dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return string(out), nil
}
