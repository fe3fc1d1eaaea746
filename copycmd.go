package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"maitred/cluster"
	"maitred/edge"
	"maitred/persistence"
	"maitred/persistence/jetstream"
	"maitred/persistence/sqlite"
)

// JournalCopyCmd copies a journal. The copy is the same journal: only one of the two may be served from then on.
type JournalCopyCmd struct {
	Data       string   `default:"./data" help:"Data directory of the stopped node."`
	To         string   `arg:"" help:"New data directory; with --to-cluster the folder of the nodes' data directories. Three copies need three times the space."`
	ToCluster  bool     `help:"Make the data directories of a new cluster's nodes, one for each of --nodes. The old directory is not served any more afterwards."`
	Nodes      []string `default:"n1,n2,n3" help:"Names of the new nodes, three. Whose name the old node had claims its restaurants at once; if nobody has it, the others inherit them after 3.5 s."`
	ClusterDir string   `help:"With --to-cluster: directory of the secrets, made by maitred cluster init --from DATA." placeholder:"DIR"`
}

// Run implements the command.
func (c *JournalCopyCmd) Run() error {
	o := jetstream.CopyOptions{From: repairOptions(c.Data), Progress: tellProgress(os.Stderr)}
	var err error
	if c.ToCluster {
		err = c.intoCluster(&o)
	} else {
		o.To = []jetstream.Options{repairOptions(c.To)}
		o.Beside = func(dir string) error { return errors.Join(copyKeys(c.Data, dir), c.copyStore(dir)) }
	}
	if err != nil {
		return err
	}
	copied, err := jetstream.Copy(context.Background(), o)
	if err != nil {
		return err
	}
	fmt.Printf("journal %s: records %d to %d, %d bases and %d cursors stand in %s, each record at its place, read back and compared (digest %s)\n",
		copied.Journal, copied.First, copied.Last, copied.Bases, copied.Cursors, c.To, copied.Digest.Short())
	if c.ToCluster {
		c.tellWhatNext()
	}
	return nil
}

// intoCluster makes the options of the new nodes, and refuses secrets that could not read what is copied.
func (c *JournalCopyCmd) intoCluster(o *jetstream.CopyOptions) (err error) {
	if c.ClusterDir == "" {
		return fmt.Errorf("--to-cluster needs --cluster-dir, the secrets of the new cluster: maitred cluster init SECRETS --from %s makes them", c.Data)
	}
	secret, err := cluster.ReadSecret(filepath.Join(c.ClusterDir, secretFile))
	if err != nil {
		return fmt.Errorf("--cluster-dir: %w", err)
	}
	if err := sameAccounts(c.Data, c.ClusterDir); err != nil {
		return err
	}
	if o.To, err = clusterTargets(secret, c.Nodes, c.To); err != nil {
		return err
	}
	o.Check = func(ctx context.Context, journal persistence.Journal, bases persistence.Bases) error {
		seal, err := readSeal(c.ClusterDir)
		if err == nil {
			err = seal.Check(ctx, journal, bases)
		}
		if err != nil {
			return fmt.Errorf("the keys in %s do not open the personal data in %s: maitred cluster init SECRETS --from %s takes them along: %w", c.ClusterDir, c.Data, c.Data, err)
		}
		return nil
	}
	o.Beside = c.copyStore
	return nil
}

// clusterTargets are the options of the servers of a new cluster, whose directories lie in dir.
func clusterTargets(secret cluster.Secret, nodes []string, dir string) ([]jetstream.Options, error) {
	if len(nodes) != minReplicas {
		return nil, fmt.Errorf("--nodes %s: exactly %d names; more nodes join later with empty directories", strings.Join(nodes, ","), minReplicas)
	}
	return jetstream.ClusterOptions(secret.Label(), secret.RoutePassword(), nodes, repairOptions(dir))
}

// sameAccounts refuses secrets under which nobody could log in any more: the ids of accounts are made with them.
func sameAccounts(data, secrets string) error {
	old, err := edge.ReadKeys(data)
	if errors.Is(err, os.ErrNotExist) { // it was never served
		return nil
	}
	if err != nil {
		return err
	}
	fresh, err := edge.ReadKeys(secrets)
	if err != nil {
		return err
	}
	if !fresh.SameAccounts(old) {
		return fmt.Errorf("with %s in %s no account of %s would be known: maitred cluster init SECRETS --from %s takes it along", tokenFile, secrets, data, data)
	}
	return nil
}

// copyStore gives a copy the read model, if it is a file: its cursor stays true, since each record keeps its place. The audit of what the
// journal has purged is nowhere else.
func (c *JournalCopyCmd) copyStore(dir string) error {
	if _, err := os.Stat(storePath(c.Data)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	_, err := sqlite.Snapshot(context.Background(), storePath(c.Data), storePath(dir))
	return err
}

func (c *JournalCopyCmd) tellWhatNext() {
	fmt.Printf("%s is marked as moved and is not served any more; delete it when the cluster has proved itself.\n", c.Data)
	for _, node := range c.Nodes {
		fmt.Printf("bring %s and %s to the machine of %s, then: maitred serve --node %s --data %s --cluster-dir %s --peer-listen ADDR --join ADDR,ADDR,ADDR\n",
			filepath.Join(c.To, node), c.ClusterDir, node, node, filepath.Join(c.To, node), c.ClusterDir)
	}
}

// tellProgress prints how far long work has come, at most once a second.
func tellProgress(w io.Writer) jetstream.Progress {
	last := time.Now()
	return func(what string, done, all uint64) {
		if time.Since(last) < tellEvery {
			return
		}
		last = time.Now()
		fmt.Fprintf(w, "%s: %d of %d\n", what, done, all)
	}
}
