package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// laterMark is what the later build adds, as a field of number 1000, to what it writes and says.
const laterMark = "\xc2\x3e\x05later"

const laterField = `0xc2, 0x3e, 5, 'l', 'a', 't', 'e', 'r'`

// laterBuild is what the next minor version could be, as changes of this tree's sources: each old text stands once in its file. It writes a
// field that this build does not know into records, events, bases, answers, views and its gossip; and it has a new member "occasion" of a
// reservation, which needs protocol 3. A tagged release would be the better older build, once there is one; that this build reads what
// earlier ones wrote is shown by the golden files instead.
var laterBuild = map[string][][2]string{
	"engine/codec.go": {
		{"func appendMessage(dst []byte, m message) []byte {",
			"func appendMessage(dst []byte, m message) []byte { return append(appendExact(dst, m), " + laterField + ") }\n\nfunc appendExact(dst []byte, m message) []byte {"},
	},
	"engine/command_codec.go": {
		{"return appendMessage(dst, c.proto())", "return appendExact(dst, c.proto())"},
		{"const Protocol = 2", "const Protocol = 3"},
		{"func (c *Command) Protocol() uint16 {", `func (c *Command) Protocol() uint16 {
			if body, ok := c.Body.(*CreateReservation); ok && body.Occasion != "" {
				return 3
			}`},
	},
	"engine/command.go": {
		{"Table           TableID // a wish; empty = any", "Table           TableID // a wish; empty = any\n\t\tOccasion        string"},
	},
	"engine/command_codec_restaurant.go": {
		{"Area: p.Area, Contact: contactFrom(p.Contact), Override: p.Override}\n\tset(",
			"Area: p.Area, Contact: contactFrom(p.Contact), Override: p.Override}\n\tif u := p.ProtoReflect().GetUnknown(); len(u) > 3 {\n\t\tc.Occasion = string(u[3:])\n\t}\n\tset("},
		{"Area: c.Area, Override: c.Override}\n	if c.Want != (When{}) {",
			"Area: c.Area, Override: c.Override}\n	if c.Occasion != \"\" {\n\t\tp.ProtoReflect().SetUnknown(append([]byte{0xa2, 6, byte(len(c.Occasion))}, c.Occasion...)) // field 100\n\t}\n\tif c.Want != (When{}) {"},
	},
	"edge/wire.go": {
		{"		StartsAt        string      `json:\"starts_at\"`", "		Occasion        string      `json:\"occasion\"`\n		StartsAt        string      `json:\"starts_at\"`"},
	},
	"edge/reservations.go": {
		{"		GuestsCount:     w.GuestsCount,", "		GuestsCount:     w.GuestsCount,\n		Occasion:        strings.Clone(w.Occasion),"},
	},
	"edge/roam.go": {
		{"	out, err := a.MarshalVT()", "	out, err := a.MarshalVT()\n\tout = append(out, " + laterField + ")"},
	},
	"persistence/codec.go": {
		{"	return binary.LittleEndian.AppendUint32(dst,", "	dst = append(dst, " + laterField + ")\n	return binary.LittleEndian.AppendUint32(dst,"},
	},
	"cluster/members_meta.go": {
		{"binary.BigEndian.AppendUint16(out, m.Protocol)", "append(binary.BigEndian.AppendUint16(out, m.Protocol), 1, 2, 3)"},
	},
}

// buildLater compiles the later build beside this one.
func buildLater(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	for file, changes := range laterBuild {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		source := string(text)
		for _, c := range changes {
			require.Equal(t, 1, strings.Count(source, c[0]), "%s has changed: bring laterBuild up to date: %q", file, c[0])
			source = strings.Replace(source, c[0], c[1], 1)
		}
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		require.NoError(t, os.WriteFile(copied, []byte(source), 0o600))
		path, err := filepath.Abs(file)
		require.NoError(t, err)
		replaced[path] = copied
	}
	overlay, bin := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "maitred-later")
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, text, 0o600))
	out, err := exec.Command("go", "build", "-overlay", overlay, "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// marked tells whether a field of the later build lies in the files of a data directory.
func marked(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".blk" {
			return nil // files come and go
		}
		text, err := os.ReadFile(path)
		found = found || err == nil && strings.Contains(string(text), laterMark)
		return nil
	}))
	return found
}
