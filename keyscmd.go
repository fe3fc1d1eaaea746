package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"maitred/edge"
)

// KeysCmd groups what an operator does to the keys that sign access tokens. Both work beside a running server.
type KeysCmd struct {
	List   KeysListCmd   `cmd:"" help:"Print id and state of each key."`
	Rotate KeysRotateCmd `cmd:"" help:"Let the next key sign and make a new next one."`
}

// KeysListCmd shows the ring.
type KeysListCmd struct {
	Data string `default:"./data" help:"Data directory of the node."`
}

// Run implements the command.
func (c *KeysListCmd) Run() error {
	keys, err := edge.ReadKeys(c.Data)
	if err != nil {
		return err
	}
	printKeys(keys)
	return nil
}

// KeysRotateCmd turns the ring by one.
type KeysRotateCmd struct {
	Data        string `default:"./data" help:"Data directory of the node."`
	Compromised bool   `help:"The present keys are known to somebody: all they signed is void, everybody has to log in or refresh."`
}

// Run implements the command.
func (c *KeysRotateCmd) Run() error {
	keys, err := edge.RotateKeys(c.Data, c.Compromised, time.Now())
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s has no keys: it was never served", c.Data)
	}
	if err != nil {
		return err
	}
	printKeys(keys)
	fmt.Println("a running server takes them up within 30 s, or at SIGHUP")
	return nil
}

func printKeys(keys *edge.Keys) {
	for _, k := range keys.List() {
		if k.Until.IsZero() {
			fmt.Printf("%s %s\n", k.ID, k.State)
		} else {
			fmt.Printf("%s %s until %s\n", k.ID, k.State, k.Until.Format(time.RFC3339))
		}
	}
}

// reloadOnHangup lets SIGHUP read keys and certificate again, until the function that it returns is called.
func reloadOnHangup(n *Node) (stop func()) {
	hangup, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for range hangup {
			if err := n.Reload(); err != nil {
				n.Log.Error("reload", "error", err)
			}
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-ended
	}
}
