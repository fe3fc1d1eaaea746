package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"maitred/persistence"
	"maitred/persistence/jetstream"
	"maitred/persistence/rabbitmq"
)

// SinkForwardCmd brings RabbitMQ on where nobody has any more what it lacks: the journal was purged beyond it and the store's audit does
// not reach back so far, because the store was made anew since.
type SinkForwardCmd struct {
	Data       string `default:"./data" help:"Data directory of the stopped node."`
	AcceptLoss bool   `help:"Needed: nobody is told of the events in between, then or later."`
}

// Run implements the command.
func (c *SinkForwardCmd) Run() error { return c.run(context.Background(), os.Stdout) }

func (c *SinkForwardCmd) run(ctx context.Context, out io.Writer) error {
	node := Node{Config: Config{Data: c.Data}, Log: (&Config{LogLevel: "warn"}).logger()}
	home, err := jetstream.Open(ctx, node.journalOptions())
	if err != nil {
		return fmt.Errorf("open the journal in %s: %w", c.Data, err)
	}
	defer home.Close()
	b, err := home.Journal().Bounds(ctx)
	if err != nil {
		return fmt.Errorf("bounds of the journal: %w", err)
	}
	id, err := persistence.JournalOf(ctx, home.Journal(), b.First)
	if err != nil {
		return err
	}
	at, err := home.Cursors().Cursor(ctx, rabbitmq.SinkName)
	if err != nil {
		return fmt.Errorf("read the cursor of RabbitMQ: %w", err)
	}
	switch {
	case at == (persistence.Position{}):
		return errors.New("RabbitMQ has no cursor yet: it begins where the journal does")
	case at.Journal == id && at.Seq+1 >= b.First:
		return fmt.Errorf("RabbitMQ is at record %d and the journal begins at %d: it goes on by itself", at.Seq, b.First)
	case !c.AcceptLoss:
		return fmt.Errorf("RabbitMQ is at record %d of journal %s, and %s begins at %d: --accept-loss gives up what is between", at.Seq, at.Journal, id, b.First)
	}
	if err := home.Cursors().Move(ctx, rabbitmq.SinkName, at, persistence.Position{Journal: id, Seq: b.First - 1}); err != nil {
		return err
	}
	fmt.Fprintf(out, "RabbitMQ goes on at record %d of journal %s; it was at %d of %s\n", b.First, id, at.Seq, at.Journal)
	return nil
}
