// Command plan works out on paper what many nodes would be like, with the ring that places partitions and the times of the code, and
// with the figures that were measured. It writes its section of cluster/DESIGN.md and the plots beside it; a test holds both to what the
// code gives now.
//
//	go run ./bench/plan        in the module's root
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	document   = "cluster/DESIGN.md"
	plotFolder = "cluster/plots"
	begin      = "<!-- from here on by go run ./bench/plan -->\n"
	end        = "<!-- to here by go run ./bench/plan -->\n"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "plan: "+err.Error())
		os.Exit(1)
	}
}

// run writes section and plots below the module's root.
func run(root string) error {
	path := filepath.Join(root, document)
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	section, err := write(filepath.Join(root, plotFolder))
	if err != nil {
		return err
	}
	text, err := replace(old, section)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// write draws the plots into dir and returns the section.
func write(dir string) ([]byte, error) {
	p := newPlan()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	if err := errors.Join(p.plotSkew(dir), p.plotStorm(dir), p.plotLeader(dir)); err != nil {
		return nil, err
	}
	return p.text(), nil
}

// replace puts the section between its marks.
func replace(text, section []byte) ([]byte, error) {
	head, rest, found := bytes.Cut(text, []byte(begin))
	_, tail, ended := bytes.Cut(rest, []byte(end))
	if !found || !ended {
		return nil, fmt.Errorf("%s has no marks of its own part", document)
	}
	return bytes.Join([][]byte{head, []byte(begin), section, []byte(end), tail}, nil), nil
}
