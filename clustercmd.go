package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"maitred/cluster"
	"maitred/edge"
)

// ClusterCmd groups what an operator does with several nodes.
type ClusterCmd struct {
	Init   ClusterInitCmd   `cmd:"" help:"Make the directory of secrets that every node gets a copy of."`
	Status ClusterStatusCmd `cmd:"" help:"Print nodes and partitions as one node sees them."`
	Drain  ClusterDrainCmd  `cmd:"" help:"Let a node give all its restaurants to the others, before it is stopped."`

	Rebalance ClusterRebalanceCmd `cmd:"" help:"Print which partitions are to move and what that costs; --go moves them now."`
}

// ClusterInitCmd makes the secrets.
type ClusterInitCmd struct {
	Dir  string `arg:"" help:"Directory to make."`
	From string `help:"Data directory of a single node whose journal is going to move into the cluster (maitred journal copy --to-cluster): its keys are taken along." placeholder:"DATA"`
}

// Run implements the command.
func (c *ClusterInitCmd) Run() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", c.Dir, err)
	}
	if err := cluster.NewSecret().Write(filepath.Join(c.Dir, secretFile)); err != nil {
		return err
	}
	if err := c.keys(); err != nil {
		return err
	}
	fmt.Printf("%s holds the secrets of a new cluster: copy it to every node, and into the backup.\n"+
		"Whoever has it is a node. Each node: maitred serve --node NAME --cluster-dir %s --peer-listen ADDR --join ADDR,ADDR,ADDR\n", c.Dir, c.Dir)
	return nil
}

// keys makes the keys of guests' data, or takes them along from a single node: with others its data could not be read.
func (c *ClusterInitCmd) keys() error {
	if c.From != "" {
		seal, err := readSeal(c.From)
		if err != nil {
			return err
		}
		if seal == nil {
			return fmt.Errorf("%s has no %s: it was never served, or is the wrong directory", c.From, sealFile)
		}
		if err := copyKeys(c.From, c.Dir); err != nil {
			return err
		}
		_, err = edge.OpenKeys(c.Dir)
		return err
	}
	if _, err := edge.OpenKeys(c.Dir); err != nil {
		return err
	}
	if err := createSealKey(c.Dir); err != nil {
		return fmt.Errorf("make the sealing key: %w", err)
	}
	return nil
}

// adminFlag says which node is asked.
type adminFlag struct {
	Admin string `default:"127.0.0.1:9180" help:"--admin-listen of a node." placeholder:"ADDR"`
}

func (a *adminFlag) call(ctx context.Context, method, path string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*drainWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.Admin+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the node at %s: %w", a.Admin, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(body)))
	}
	return body, err
}

func (a *adminFlag) status(ctx context.Context) (s cellStatus, err error) {
	body, err := a.call(ctx, http.MethodGet, clusterPath, nil)
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

// pollEach is how often a command that waits asks how far it is.
const pollEach = 200 * time.Millisecond

// ClusterDrainCmd empties a node.
type ClusterDrainCmd struct {
	adminFlag
	Node string `arg:"" help:"Name of the node."`
	Undo bool   `help:"Let it take its share again."`

	Anyway bool `help:"Also when too few others serve for the cluster to live without it: when it is not going to be stopped."`

	Wait time.Duration `default:"60s" help:"How long to wait until it holds nothing; 0 = not at all."`
}

// Run implements the command.
func (c *ClusterDrainCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	query := url.Values{"node": {c.Node}}
	if c.Undo {
		query.Set("undo", "true")
	}
	if c.Anyway {
		query.Set("anyway", "true")
	}
	if _, err := c.call(ctx, http.MethodPost, drainPath, query); err != nil {
		return err
	}
	if c.Undo || c.Wait == 0 {
		return nil
	}
	return c.watch(ctx)
}

// watch prints how many partitions are left until none is.
func (c *ClusterDrainCmd) watch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	for last := -1; ; {
		s, err := c.status(ctx)
		if err != nil {
			return err
		}
		left := 0
		for _, n := range s.Nodes {
			if n.Name == c.Node {
				left = n.Holds
			}
		}
		if left != last {
			fmt.Printf("%s holds %d of %d partitions\n", c.Node, left, s.Partitions)
		}
		if last = left; left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s still holds %d partitions; it goes on without this command", c.Node, left)
		case <-time.After(pollEach):
		}
	}
}
