package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"maitred/persistence"
)

// Defaults and limits. Frames are held to 256 KiB by the writer, to 512 KiB by the stream.
const (
	defaultMaxBytes     = 16 << 30
	defaultBaseMaxBytes = 8 << 30
	defaultMinFree      = 64 << 20
	maxRecordBytes      = 512 << 10
	maxBaseBytes        = 32 << 20
	headerRoom          = 4 << 10 // what the headers of a base may take beside its state
	replicas            = 3       // of a cluster's streams

	appendTimeout  = 2 * time.Second
	requestTimeout = 5 * time.Second
	startTimeout   = 30 * time.Second
	quorumTimeout  = 10 * time.Minute // for the other servers of a cluster to be started
	clusterTry     = 2 * time.Second  // of a request while the cluster may have no leader
)

// Options say what Open opens. Dir is needed; zero values of the rest mean the default named beside them.
type Options struct {
	Dir           string
	Name          string // of the server; "standalone", and needed in a cluster: never that of a removed server
	MaxBytes      int64  // of JOURNAL; 0 = as it is, 16 GiB when it is made
	BaseMaxBytes  int64  // of SNAP; 0 = as it is, 8 GiB when it is made
	MinFree       int64  // bytes free on the volume below which no append is sent: ErrFull before ENOSPC; 64 MiB
	Replicas      int    // 1; 3 needs Cluster
	Cluster       *Cluster
	External      *External    // instead of the embedded server: Dir keeps the lock and the high-water mark, Replicas follows from the servers
	Logger        *slog.Logger // slog.Default()
	FirstSeq      uint64       // of a journal that is made now (a copy keeps the sequences of its source); 1
	FirstRevision uint64       // of a bucket that is made now; 1
	// AcceptLoss lets a journal be opened that lost what its witnesses know, to look at it or to save what is left. Never to
	// serve.
	AcceptLoss bool
	Unsafe     Unsafe

	keepMax, keepBaseMax bool                 // an existing stream keeps its limit
	anew                 persistence.Revision // of a bucket that is made now (Bases.Anew)
	making               bool                 // a copy or a restore fills the directory; all of it is fsynced before anybody may serve it
	moving               bool                 // its journal may have moved: it is moved once more
}

// Unsafe switches guards off. For tests and negative controls only.
type Unsafe struct {
	AnyFS        bool // tmpfs, overlay and network file systems are taken
	LazySync     bool // the server acknowledges before it fsyncs; Open refuses that unless NoAssertions
	NoAssertions bool // the effective settings of server and streams are not checked
	NoWatchdog   bool // a dead stream stays dead
	NoFence      bool // records are appended without an expectation
}

func (o Options) filled() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("jetstream: no data directory given")
	}
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	o.keepMax, o.keepBaseMax = o.MaxBytes == 0, o.BaseMaxBytes == 0
	set(&o.MaxBytes, defaultMaxBytes)
	set(&o.BaseMaxBytes, defaultBaseMaxBytes)
	set(&o.MinFree, defaultMinFree)
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	o.FirstSeq, o.FirstRevision = max(o.FirstSeq, 1), max(o.FirstRevision, 1)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Name == "" && !o.remote() {
		o.Name = modeStandalone
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.MaxBytes < 0 || o.BaseMaxBytes < 0 || o.MinFree < 0:
		return fmt.Errorf("jetstream: negative limit: MaxBytes %d, BaseMaxBytes %d, MinFree %d", o.MaxBytes, o.BaseMaxBytes, o.MinFree)
	case o.External != nil && o.Cluster != nil:
		return errors.New("jetstream: the servers are external, or embedded ones of a cluster")
	case o.Cluster == nil && o.Replicas != 1:
		return fmt.Errorf("jetstream: %d replicas asked of a server that stands alone", o.Replicas)
	case o.Cluster != nil && o.Replicas < 3:
		return fmt.Errorf("jetstream: a cluster needs 3 replicas at least, not %d", o.Replicas)
	case o.Cluster != nil && o.Name == "":
		return errors.New("jetstream: a server of a cluster needs a name")
	}
	return nil
}

// patience is how long a start may take.
func (o Options) patience() time.Duration {
	if o.remote() {
		return quorumTimeout
	}
	return startTimeout
}

func (o Options) mode() string {
	switch {
	case o.External != nil:
		return modeExternal
	case o.Cluster != nil:
		return modeClustered
	}
	return modeStandalone
}

// remote tells whether the journal has other servers than the one in this process: they may be away, and others may purge.
func (o Options) remote() bool { return o.Cluster != nil || o.External != nil }
