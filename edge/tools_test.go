package edge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
)

const toolsDir = "openapi/tools"

// tools is a folder outside the tree with the third-party tools that package-lock.json pins, installed once.
func tools(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		_, err := exec.LookPath(name)
		require.NoError(t, err, "%s is needed to check the document with the tools of others", name)
	}
	lock, err := os.ReadFile(filepath.Join(toolsDir, "package-lock.json"))
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "maitred-tools-"+hex.EncodeToString(sum[:6]))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	files, err := filepath.Glob(toolsDir + "/*")
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o644))
	}
	installed := filepath.Join(dir, "node_modules", ".installed") // written last
	if _, err := os.Stat(installed); err != nil {
		run(t, dir, 3*time.Minute, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		require.NoError(t, os.WriteFile(installed, nil, 0o644))
	}
	b, err := document()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "openapi.json"), b, 0o644))
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
	dir := tools(t)
	out := run(t, dir, time.Minute, "node_modules/.bin/redocly", "lint", "openapi.json", "--format=stylish")
	require.NotContains(t, out, "No rules were configured")
	require.NotContains(t, out, "warning  ")
}

// A client generated from the document compiles, and works. It is the one that README shows.
func TestATypedClientReserves(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	client, err := os.ReadFile(toolsDir + "/client.ts")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```ts\n"+string(client)+"```")
	dir := tools(t)
	s := listen(t, openHouse(t))
	restaurant, _ := s.register("owner@example.org", "owner").trattoria()
	run(t, dir, time.Minute, "node_modules/.bin/openapi-typescript", "openapi.json", "-o", "api.ts")
	run(t, dir, time.Minute, "node_modules/.bin/tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--outDir", "out", "client.ts", "globals.d.ts")
	out := run(t, dir, time.Minute, "node", "out/client.js", "http://"+s.addr, restaurant, day(3))
	require.Regexp(t, `^rsv_[0-9a-z]{26} cancelled\n$`, out)
}

// The pages show every operation and ask nobody else for anything. MAITRED_SCREENSHOT names a file for a picture.
func TestThePagesInABrowser(t *testing.T) {
	browser, err := dev.EnsureChromium(t.Context())
	require.NoError(t, err)
	t.Setenv("CHROMIUM", browser)
	dir := tools(t)
	s := listen(t, openHouse(t))
	b, err := document()
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]struct {
			Tags        []string
			OperationID string `json:"operationId"`
		}
	}
	require.NoError(t, json.Unmarshal(b, &doc))
	type shown struct {
		Tag string `json:"tag"`
		ID  string `json:"id"`
	}
	var all []shown
	for _, methods := range doc.Paths {
		for _, op := range methods {
			all = append(all, shown{op.Tags[0], op.OperationID})
		}
	}
	list, err := json.Marshal(all)
	require.NoError(t, err)
	run(t, dir, 2*time.Minute, "node", "docs.mjs", "http://"+s.addr, string(list), os.Getenv("MAITRED_SCREENSHOT"))
}
