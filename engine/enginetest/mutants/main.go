// Command mutants changes the engine in one place at a time and asks its tests whether they notice: a line that can be wrong unnoticed is not
// tested. All changes are compiled into one pair of test binaries, each behind a switch that an environment variable sets, so that a change
// costs one run of the tests and no build; a tool that builds for each takes a working day for what this does in an hour.
//
//	go run ./engine/enginetest/mutants            # all; prints what survives, and the share that was noticed
//	go run ./engine/enginetest/mutants -only 17   # one, with the tests' own words
//	go run ./engine/enginetest/mutants -again out # those that an earlier run has printed
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	variable  = "MAITRED_MUTANT" // which change is on; 0 = none
	coverage  = "MAITRED_MUTANT_SEEN"
	patience  = 8 // times what the unchanged tests take, until a run counts as endless
	minTime   = 20 * time.Second
	fileModes = 0o600
)

// suite is one test binary; a change that the first does not notice is shown to the second.
type suite struct {
	pkg, dir string
	args     []string
	bin      string
	took     time.Duration // unchanged
}

var suites = []*suite{
	{pkg: "./engine", dir: "engine"},
	{pkg: "./engine/enginetest", dir: "engine/enginetest", args: []string{"-test.short"}},
}

func main() {
	workers := flag.Int("workers", 2, "runs at once")
	only := flag.Int("only", 0, "number of one change")
	again := flag.String("again", "", "what an earlier run printed: only what was not noticed then")
	flag.Parse()
	if err := run(*workers, *only, *again); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(workers, only int, again string) error {
	dir, err := os.MkdirTemp("", "maitred-mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all, overlay, err := instrument("engine", dir)
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for _, s := range suites {
		if err := s.build(dir, overlay); err != nil {
			return err
		}
		if err := s.measure(dir, seen); err != nil {
			return err
		}
		fmt.Printf("%s: unchanged in %s\n", s.pkg, s.took.Round(10*time.Millisecond))
	}
	if only > 0 {
		return show(all[only-1])
	}
	some, err := choose(all, again)
	if err != nil {
		return err
	}
	trial(some, seen, workers)
	summarise(some, len(all))
	return unclear(some)
}

// choose are the changes that an earlier run has printed. Numbers and lines may be others since.
func choose(all []*mutant, again string) (some []*mutant, err error) {
	if again == "" {
		return all, nil
	}
	text, err := os.ReadFile(again) // #nosec G204 -- the caller's own
	if err != nil {
		return nil, err
	}
	printed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if m := printedForm.FindStringSubmatch(line); m != nil {
			printed[m[1]+m[2]] = true
		}
	}
	for _, m := range all {
		if printed[m.key()] {
			some = append(some, m)
		}
	}
	for _, m := range some {
		delete(printed, m.key())
	}
	for key := range printed {
		fmt.Println("gone from the source:", key)
	}
	if len(some) == 0 {
		err = fmt.Errorf("%s names no change of this source", again)
	}
	return some, err
}

// key is what names a change in another run.
func (m *mutant) key() string { return m.file + " " + m.what + ": " + m.text }

var printedForm = regexp.MustCompile(`^#\d+ (\S+):\d+( .*) \([^()]*\)\n$`)

func (s *suite) build(dir, overlay string) error {
	s.bin = filepath.Join(dir, filepath.Base(s.pkg)+".test")
	out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", s.bin, s.pkg).CombinedOutput() // #nosec G204 -- our own arguments
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", s.pkg, err, out)
	}
	return nil
}

// measure runs the unchanged tests, which must pass, and notes which changes they come by.
func (s *suite) measure(dir string, seen map[int]bool) error {
	list := filepath.Join(dir, "seen")
	begun := time.Now()
	s.took = time.Hour
	if said, err := s.test(0, coverage+"="+list); err != nil {
		return fmt.Errorf("the unchanged tests of %s fail: %w\n%s", s.pkg, err, said)
	}
	s.took = time.Since(begun)
	text, err := os.ReadFile(list) // #nosec G204 -- made above
	if err != nil {
		return err
	}
	var ids []int
	if err := json.Unmarshal(text, &ids); err != nil {
		return err
	}
	for _, id := range ids {
		seen[id] = true
	}
	return nil
}

var errEndless = errors.New("does not end")

// test runs the tests with one change; an error means that they noticed.
func (s *suite) test(id int, env ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), max(minTime, patience*s.took))
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin, append(s.args, "-test.failfast", "-rapid.nofailfile")...) // #nosec G204 -- built above
	cmd.Dir, cmd.Env = s.dir, append(append(os.Environ(), variable+"="+strconv.Itoa(id), "GOMAXPROCS=1", "GOMEMLIMIT=2GiB"), env...)
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = errEndless
	}
	return said, err
}

func trial(all []*mutant, seen map[int]bool, workers int) {
	next, done, begun := make(chan *mutant), 0, time.Now()
	var group sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		group.Go(func() {
			for m := range next {
				m.judge()
				mu.Lock()
				if done++; !m.noticed {
					fmt.Println(m)
				} else if done%50 == 0 {
					fmt.Printf("  … %d of %d, %s\n", done, len(all), time.Since(begun).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range all {
		if m.seen = seen[m.id]; m.seen {
			next <- m
			continue
		}
		mu.Lock()
		done++
		fmt.Println(m)
		mu.Unlock()
	}
	close(next)
	group.Wait()
}

func (m *mutant) judge() {
	for _, s := range suites {
		said, err := s.test(m.id)
		if err == nil {
			continue
		}
		m.noticed, m.endless = true, errors.Is(err, errEndless)
		if !m.endless && !bytes.Contains(said, []byte("--- FAIL")) && !bytes.Contains(said, []byte("panic:")) {
			m.noticed, m.trouble = false, fmt.Errorf("%v: %w: no test has failed", m, err)
		}
		return
	}
}

func show(m *mutant) error {
	fmt.Println(m)
	for _, s := range suites {
		said, err := s.test(m.id)
		fmt.Printf("%s: %v\n%s\n", s.pkg, err, bytes.TrimSpace(said))
	}
	return nil
}

func summarise(tried []*mutant, all int) {
	noticed, endless, unseen := 0, 0, 0
	for _, m := range tried {
		switch {
		case m.endless:
			endless++
			noticed++
		case m.noticed:
			noticed++
		case !m.seen:
			unseen++
		}
	}
	fmt.Printf("%d of %d changes tried: %d noticed (%d of them by running on for ever), %d not, of which no test comes by %d", len(tried), all, noticed, endless,
		len(tried)-noticed, unseen)
	if len(tried) == all { // else the others were not asked
		fmt.Printf(": %.1f %%", 100*float64(noticed)/float64(all))
	}
	fmt.Println()
}

// unclear names the changes whose tests ended in another way than by a failure.
func unclear(tried []*mutant) (err error) {
	for _, m := range tried {
		err = errors.Join(err, m.trouble)
	}
	return err
}
