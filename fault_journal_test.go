package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"maitred/engine/enginepb"
	"maitred/persistence"
)

// journalDir is where the embedded server keeps JOURNAL's blocks below a data directory.
func journalDir(data string) string {
	return filepath.Join(data, "jetstream", "$G", "streams", "JOURNAL", "msgs")
}

// shelve reads a copy of the journal of a stopped server with a plain JetStream server and puts every fact on a shelf. Nothing
// of maitred's recovery takes part.
func shelve(t *testing.T, data string, y *tally) *shelf {
	t.Helper()
	dir := t.TempDir()
	copyTree(t, filepath.Join(data, "jetstream"), filepath.Join(dir, "jetstream"))
	ns, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "reader", DontListen: true, JetStream: true, StoreDir: dir, JetStreamMaxStore: 1 << 50, NoSigs: true, NoLog: true,
	})
	require.NoError(t, err)
	ns.Start()
	defer func() { ns.Shutdown(); ns.WaitForShutdown() }()
	require.True(t, ns.ReadyForConnections(readyWithin), "the reader's server does not start")
	nc, err := nats.Connect("", nats.InProcessServer(ns))
	require.NoError(t, err)
	defer nc.Close()
	shelf := newShelf()
	shelf.seal, err = readSeal(data)
	require.NoError(t, err)
	readStream(t, nc, func(seq uint64, record []byte) { shelf.record(t, y, seq, record) })
	return shelf
}

func readStream(t *testing.T, nc *nats.Conn, fn func(seq uint64, record []byte)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	stream, err := js.Stream(ctx, "JOURNAL")
	require.NoError(t, err)
	info, err := stream.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.FirstSeq, "the journal was purged: this check needs all of it")
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	messages, err := consumer.Messages(jetstream.PullMaxMessages(2000))
	require.NoError(t, err)
	defer messages.Stop()
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		require.NoError(t, err, "read record %d of %d", seq, info.State.LastSeq)
		at, err := m.Metadata()
		require.NoError(t, err)
		require.Equal(t, seq, at.Sequence.Stream, "the journal has a gap")
		fn(seq, m.Data())
	}
}

// record puts what one record says of reservations on the shelf.
func (h *shelf) record(t *testing.T, y *tally, seq uint64, data []byte) {
	t.Helper()
	r, err := persistence.Decode(data)
	require.NoError(t, err, "record %d", seq)
	if claim, ok := r.(*persistence.Claim); ok && claim.By != claim.Node {
		h.claims[claim.Node] = append(h.claims[claim.Node], claim)
		h.moved += len(claim.Gives)
	}
	frame, isFrame := r.(*persistence.Frame)
	if !isFrame {
		return
	}
	h.moved += len(frame.Releases)
	for i, b := range frame.Events {
		e, err := h.seal.DecodeEvent(b, frame.Index[i].Aggregate, frame.Index[i].Version)
		require.NoError(t, err, "record %d", seq)
		if f, ok := factOf(seq, e); ok {
			h.put(y, f)
		}
	}
}

// factOf is what an event says of a reservation; false when it says nothing of one.
func factOf(seq uint64, e *enginepb.Event) (fact, bool) {
	if c := e.GetReservationCreated(); c != nil {
		r := c.Reservation
		operation, _, _ := strings.Cut(r.SpecialRequests, " ") // what follows is there for its length
		f := fact{seq: seq, id: r.Id, made: true, mark: operation, tables: r.TableIds, from: r.StartsAt, to: r.EndsAt}
		f.status, f.blocked = statusOf(r.Status)
		return f, true
	}
	if c := e.GetReservationOffered(); c != nil {
		return fact{seq: seq, id: c.Id, offered: true, tables: c.TableIds, from: c.StartsAt, to: c.EndsAt, status: "held", blocked: true}, true
	}
	if c := e.GetReservationRescheduled(); c != nil {
		return fact{seq: seq, id: c.Id, tables: c.TableIds, from: c.StartsAt, to: c.EndsAt}, true
	}
	if c := e.GetReservationStatusChanged(); c != nil {
		f := fact{seq: seq, id: c.Id}
		f.status, f.blocked = statusOf(c.Status)
		return f, true
	}
	return fact{}, false
}

// statusOf is a status as the API names it, and whether it holds tables.
func statusOf(s enginepb.Status) (string, bool) {
	switch s {
	case enginepb.Status_STATUS_HELD, enginepb.Status_STATUS_PENDING, enginepb.Status_STATUS_CONFIRMED, enginepb.Status_STATUS_SEATED:
		return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_")), true
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_")), false
}

// copyTree copies a folder, with the modes of its files.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
	require.NoError(t, err, "copy %s", from)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
