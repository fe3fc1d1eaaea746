package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChanges: which changes are made of what. What an assertion joins and compares is made stricter or turned round.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	source := `package p

func assert(ok bool, why string) { if !ok { panic(why) } }

func f(a, b int, more []int) (n int) {
	assert(a < b && (b > 0 || a <= 7), "why")
	if a >= b && !(a == 2) {
		n++
	}
	n += a*b - 1
	copy(more, more)
	switch {
	case a|b != 0:
		return -n
	}
	return n
}
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), fileModes))
	files, info, fset, err := load(dir)
	require.NoError(t, err)
	w := &writer{fset: fset, info: info, source: []byte(source)}
	w.rewrite(files[0])
	var got []string
	for i, m := range w.all {
		require.Equal(t, i+1, m.id)
		got = append(got, fmt.Sprintf("%d %s: %s", m.line, m.what, m.text))
	}
	require.Equal(t, []string{
		"3 without !: !ok",
		"6 turned round: a < b", "6 as &&: b > 0 || a <= 7", "6 turned round: b > 0", "6 as <: a <= 7", "6 turned round: a <= 7",
		"7 as ||: a >= b && !(a == 2)", "7 as >: a >= b", "7 turned round: a >= b", "7 without !: !(a == 2)", "7 turned round: a == 2",
		"8 as --: n++",
		"10 as -=: n += a*b - 1", "10 as +: a*b - 1", "10 as /: a*b",
		"11 left out: copy(more, more)",
		"13 turned round: a|b != 0", "13 as &: a|b",
		"14 without -: -n",
	}, got)
}

// TestEngineWithSwitches: the engine with every change behind its switch compiles, and an earlier run's list names changes again.
func TestEngineWithSwitches(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector learns nothing here")
	}
	t.Chdir("../../..")
	dir := t.TempDir()
	all, overlay, err := instrument("engine", dir)
	require.NoError(t, err)
	require.Greater(t, len(all), 2000)
	out, err := exec.Command("go", "vet", "-overlay", overlay, "./engine").CombinedOutput()
	require.NoError(t, err, "%s", out)
	printed := filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(printed, []byte(fmt.Sprintf("./engine: unchanged\n%v\n  … 50 of 100\n", all[41])), fileModes))
	some, err := choose(all, printed)
	require.NoError(t, err)
	require.Contains(t, some, all[41])
	require.Less(t, len(some), 20)
	require.NoError(t, os.WriteFile(printed, []byte("#1 engine/gone.go:1 as <=: a < b (survives)\n"), fileModes))
	_, err = choose(all, printed)
	require.ErrorContains(t, err, "names no change")
}

// TestSwitches: each switch alone changes something, and none changes nothing. The program prints f over a grid.
func TestSwitches(t *testing.T) {
	dir := t.TempDir()
	source := `package main

import "fmt"

func assert(ok bool) { if !ok { panic("no") } }

func f(a, b int) (s string) {
	defer func() { if recover() != nil { s = "panic" } }()
	assert(a < 3 || b <= 1)
	n, list := 0, []int{a, b, -a, 9}
	if a >= b && !(a == 2) { n++ }
	if a > 1 || b < 1 { n-- }
	n += a*b - a/(b+1)
	n -= a%3
	copy(list[1:], list)
	switch { case a|b != 0: n = n<<1 &^ 4 & 63 }
	return fmt.Sprint(n, list)
}

func main() {
	for a := range 5 { for b := range 4 { fmt.Println(f(a, b)) } }
}
`
	file := filepath.Join(dir, "p.go")
	require.NoError(t, os.WriteFile(file, []byte(source), fileModes))
	plain := goTool(t, "run", file)
	files, info, fset, err := load(dir)
	require.NoError(t, err)
	w := &writer{fset: fset, info: info, source: []byte(source)}
	require.NoError(t, os.WriteFile(file, []byte(w.rewrite(files[0])), fileModes))
	text := strings.Replace(fmt.Sprintf(switches, len(w.all)+1, variable, coverage), "package engine", "package main", 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "switch.go"), []byte(text), fileModes))
	binary := filepath.Join(dir, "p")
	goTool(t, "build", "-o", binary, file, filepath.Join(dir, "switch.go"))
	for id := range len(w.all) + 1 {
		cmd := exec.Command(binary)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", variable, id))
		out, err := cmd.Output()
		require.NoError(t, err)
		if id == 0 {
			require.Equal(t, plain, string(out), "no switch is on")
			continue
		}
		require.NotEqual(t, plain, string(out), "%v changes nothing", w.all[id-1])
	}
	require.Greater(t, len(w.all), 25)
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	return string(out)
}
