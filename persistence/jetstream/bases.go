package jetstream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"maitred/engine"
	"maitred/persistence"
)

// A base stands on $KV.SNAP.snap.<share>.<id>. The share is the partition of the id among baseShares, a constant of the
// bucket: were it the journal's number of partitions, a wrong setting would make bases invisible.
const (
	baseSubjects = "$KV.SNAP.>"
	basePrefix   = "$KV.SNAP.snap."
	baseShares   = 256

	versionHeader  = "Maitred-Version"
	positionHeader = "Maitred-Position"
	nextDueHeader  = "Maitred-Next-Due"
)

// Bases is the bucket SNAP. It outlives restarts of the server under it.
type Bases struct {
	home     *Embedded
	anew     atomic.Uint64
	versions atomic.Uint64          // of all bases, summed up: never less, unless a base was lost or an older one came back
	revision atomic.Uint64          // newest that was acknowledged
	surveyed atomic.Pointer[survey] // until the first Scan
	lost     atomic.Pointer[error]  // bases are lost that the journal cannot replace
}

var _ persistence.Bases = (*Bases)(nil)

// Put implements persistence.Bases. A state above 32 MiB less 4 KiB is ErrFull; no answer within 5 s is ErrUnknown.
func (b *Bases) Put(ctx context.Context, base persistence.Base) (persistence.Revision, error) {
	subject, err := baseSubject(base.ID)
	if err != nil {
		return 0, err
	}
	if len(base.State) > maxBaseBytes-headerRoom {
		return 0, fmt.Errorf("put base of %s: %w: %d bytes", base.ID, persistence.ErrFull, len(base.State))
	}
	l, err := b.home.current()
	if err != nil {
		return 0, err
	}
	gained := base.Version
	if base.Revision > 0 { // what the compare-and-swap below then proves to be still there
		old, err := b.Get(ctx, base.ID)
		switch {
		case err != nil:
			return 0, fmt.Errorf("put base of %s: %w", base.ID, conflictWhenMissing(err))
		case old.Revision != base.Revision:
			return 0, fmt.Errorf("put base of %s: %w: revision is %d, not %d", base.ID, persistence.ErrConflict, old.Revision, base.Revision)
		case old.Version > base.Version:
			return 0, fmt.Errorf("put base of %s: %w: version %d is stored, %d is lower", base.ID, persistence.ErrConflict, old.Version, base.Version)
		}
		gained -= old.Version
	}
	seq, err := l.publish(ctx, subject, headerOf(base.BaseHeader), base.State, uint64(base.Revision), requestTimeout)
	b.home.watch.put(err)
	if err != nil {
		return 0, fmt.Errorf("put base of %s: %w", base.ID, err)
	}
	b.versions.Add(uint64(gained))
	for old := b.revision.Load(); old < seq && !b.revision.CompareAndSwap(old, seq); old = b.revision.Load() {
	}
	return persistence.Revision(seq), nil
}

func conflictWhenMissing(err error) error {
	if isNotFound(err) {
		return fmt.Errorf("%w: %w", persistence.ErrConflict, err)
	}
	return err
}

// Get implements persistence.Bases.
func (b *Bases) Get(ctx context.Context, id engine.AggregateID) (persistence.Base, error) {
	subject, err := baseSubject(id)
	if err != nil {
		return persistence.Base{}, err
	}
	l, err := b.home.current()
	if err != nil {
		return persistence.Base{}, err
	}
	m, err := l.get(ctx, baseStream, getRequest{LastFor: subject})
	if err != nil {
		return persistence.Base{}, err
	}
	header, err := parseHeader(m.Header)
	if err != nil {
		return persistence.Base{}, fmt.Errorf("get base of %s: %w", id, err)
	}
	h, err := baseHeader(m.Subject, m.Seq, header)
	return persistence.Base{BaseHeader: h, State: m.Data}, err
}

func baseSubject(id engine.AggregateID) (string, error) {
	if !persistence.ValidName(string(id)) {
		return "", fmt.Errorf("jetstream: %q is not the id of an aggregate", id)
	}
	share := persistence.PartitionOf(id, baseShares)
	return basePrefix + strconv.Itoa(int(share)) + "." + string(id), nil
}

func headerOf(h persistence.BaseHeader) nats.Header {
	return nats.Header{
		versionHeader:  []string{strconv.FormatUint(uint64(h.Version), 10)},
		positionHeader: []string{strconv.FormatUint(uint64(h.Position), 10)},
		nextDueHeader:  []string{strconv.FormatInt(int64(h.NextDue), 10)},
	}
}

func baseHeader(subject string, seq uint64, header nats.Header) (persistence.BaseHeader, error) {
	share, id, ok := strings.Cut(strings.TrimPrefix(subject, basePrefix), ".")
	version, err1 := strconv.ParseUint(header.Get(versionHeader), 10, 64)
	position, err2 := strconv.ParseUint(header.Get(positionHeader), 10, 64)
	due, err3 := strconv.ParseInt(header.Get(nextDueHeader), 10, 64)
	if !ok || share == "" || err1 != nil || err2 != nil || err3 != nil {
		return persistence.BaseHeader{}, fmt.Errorf("jetstream: message %d of SNAP on %q is not a base: headers %v", seq, subject, header)
	}
	return persistence.BaseHeader{
		ID: engine.AggregateID(id), Version: engine.Version(version), Position: persistence.Seq(position),
		NextDue: engine.Instant(due), Revision: persistence.Revision(seq),
	}, nil
}

func parseHeader(raw []byte) (nats.Header, error) {
	_, fields, ok := bytes.Cut(raw, []byte("\r\n"))
	if !ok {
		return nil, fmt.Errorf("no headers")
	}
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(fields))).ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("unreadable headers: %w", err)
	}
	return nats.Header(h), nil
}
