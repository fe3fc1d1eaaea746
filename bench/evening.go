package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// eveningCmd asks how well the engine fills a room: the same requests go to maitred's engine and to first fit, and on small floors to
// an optimum that knows them all beforehand.
type eveningCmd struct {
	Seed  uint64 `default:"1" help:"Of the first evening; each further one has the next."`
	Seeds int    `default:"50" help:"Evenings of each floor and load, 2 to 1000."`
	Out   string `help:"Folder for evening.txt and evening.svg." placeholder:"DIR"`

	progress io.Writer
}

var eveningLoads = []float64{0.7, 1, 1.3, 1.6}

// Who seats the same requests.
const (
	byMaitred = iota // the engine
	byFirst          // first fit
	byThrift         // best fit that takes the combination of least waste
	byCare           // that one, with an eye to who comes later
	contestants
)

var openings = [contestants]func(*eveningFloor) (seater, error){
	byMaitred: openEveningHouse,
	byFirst:   func(f *eveningFloor) (seater, error) { return &firstFit{spots: f.spots()}, nil },
	byThrift:  func(f *eveningFloor) (seater, error) { return &firstFit{spots: f.byWaste()}, nil },
	byCare:    func(f *eveningFloor) (seater, error) { return &careful{firstFit{spots: f.byWaste()}}, nil },
}

// evening is what came of one evening.
type evening struct {
	parties, asked int // requests, and guests in them
	by             [contestants]seated
	optimum        int // covers; 0 = not looked for
}

// eveningRow is the evenings of one floor and load, by seed.
type eveningRow struct {
	floor    *eveningFloor
	load     float64
	evenings []evening
}

// Run implements the command.
func (c *eveningCmd) Run() error {
	c.progress = os.Stderr
	if c.Seeds < 2 || c.Seeds > 1000 {
		return errors.New("--seeds must be 2 to 1000")
	}
	if c.Out == "" {
		return c.write(os.Stdout)
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", c.Out, err)
	}
	file, err := os.Create(filepath.Join(c.Out, "evening.txt"))
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return errors.Join(c.write(io.MultiWriter(os.Stdout, file)), file.Close())
}

// write makes the figures and the plot.
func (c *eveningCmd) write(out io.Writer) error {
	d, err := loadDemand(1)
	if err != nil {
		return err
	}
	large, err := c.rows(d, false, smallFloor(), largeFloor(), banquetteFloor())
	if err != nil {
		return err
	}
	small, err := c.rows(d, true, cornerFloor(), benchFloor())
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, eveningReport(c, large, small)); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if c.Out == "" {
		return nil
	}
	return plotEvenings(filepath.Join(c.Out, "evening.svg"), large, small)
}

// rows are the evenings of the floors at each load. With exact nobody takes another time, and the optimum is looked for.
func (c *eveningCmd) rows(d *demand, exact bool, floors ...*eveningFloor) (all []eveningRow, err error) {
	for _, f := range floors {
		for _, load := range eveningLoads {
			fmt.Fprintf(c.progress, "%s at load %.1f\n", f.name, load)
			row := eveningRow{floor: f, load: load}
			for i := range c.Seeds {
				one, err := spend(f, drawEvening(d, f, load, c.Seed+uint64(i)), exact)
				if err != nil {
					return nil, fmt.Errorf("seed %d of %s: %w", c.Seed+uint64(i), f.name, err)
				}
				row.evenings = append(row.evenings, one)
			}
			all = append(all, row)
		}
	}
	return all, nil
}

// spend holds one evening with each of them.
func spend(f *eveningFloor, parties []party, exact bool) (e evening, err error) {
	e.parties = len(parties)
	for _, p := range parties {
		e.asked += p.guests
	}
	if exact {
		e.optimum = optimum(f, parties)
	}
	for i, open := range openings {
		s, err := open(f)
		if err != nil {
			return e, err
		}
		if e.by[i], err = hold(s, parties, exact); err != nil {
			return e, err
		}
		if err := errors.Join(f.fault(e.by[i].stays), e.fault(i)); err != nil {
			return e, fmt.Errorf("contestant %d: %w", i, err)
		}
	}
	return e, nil
}

// fault looks for parties at one table at one time, and at tables that are not theirs to take.
func (f *eveningFloor) fault(stays []stay) error {
	spots := f.spots()
	for i, s := range stays {
		if slices.ContainsFunc(stays[:i], s.meets) {
			return fmt.Errorf("tables %v are given twice at minute %d", s.tables, s.from)
		}
		p, sits := party{guests: s.guests}, slices.Sorted(slices.Values(s.tables))
		if !slices.ContainsFunc(spots, func(o spot) bool { return o.suits(&p) && slices.Equal(slices.Sorted(slices.Values(o.tables)), sits) }) {
			return fmt.Errorf("a party of %d sits at tables %v", s.guests, s.tables)
		}
	}
	return nil
}

func (e *evening) fault(i int) error {
	if covers := e.by[i].covers; e.optimum != 0 && covers > e.optimum {
		return fmt.Errorf("%d covers are seated, and the optimum is %d", covers, e.optimum)
	}
	return nil
}
