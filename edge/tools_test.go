package edge

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
)

const toolsDir = "openapi/tools"

// tools is a folder with this one's files, the document, and the third-party tools that package-lock.json pins.
func tools(t *testing.T) string {
	t.Helper()
	modules, err := dev.NodeModules(t.Context(), toolsDir)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(toolsDir)))
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	b, err := document()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "openapi.json"), b, 0o644))
	return dir
}

func run(t *testing.T, dir string, most time.Duration, name string, args ...string) string {
	t.Helper()
	out, err := dev.RunTool(t.Context(), most, dir, name, args...)
	require.NoError(t, err)
	return out
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
