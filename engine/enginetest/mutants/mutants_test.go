package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChanges: which changes are made of what. An assertion is made stricter or turned round, never weaker.
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
}
