package main

import (
	"context"
	"os"

	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// InspectCmd prints the journal of a stopped node as text.
type InspectCmd struct {
	Data string `default:"./data" help:"Data directory of the node."`
	From uint64 `help:"First record; 0 = the journal's first."`
	To   uint64 `help:"Last record; 0 = the journal's last."`
}

// Run implements the command.
func (c *InspectCmd) Run() error {
	ctx := context.Background()
	journal, err := jetstream.OpenForRepair(ctx, repairOptions(c.Data))
	if err != nil {
		return err
	}
	defer journal.Close()
	return jetstream.Print(ctx, journal, os.Stdout, persistence.Seq(c.From), persistence.Seq(c.To))
}
