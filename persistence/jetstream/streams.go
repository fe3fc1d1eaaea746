package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	journalStream = "JOURNAL"
	baseStream    = "KV_SNAP"
)

// journalConfig is the one stream. deny_purge stays off: it could never be taken back, and Purge is needed. Direct gets are for records
// by their sequence only (direct.go).
func journalConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: journalStream, Subjects: []string{"j.>"},
		Storage: jetstream.FileStorage, Replicas: o.Replicas, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1, MaxBytes: o.MaxBytes, MaxMsgSize: maxRecordBytes,
		Duplicates: 100 * time.Millisecond, DenyDelete: true, FirstSeq: o.FirstSeq, Compression: jetstream.NoCompression,
		PersistMode: jetstream.DefaultPersistMode, AllowDirect: true,
	}
}

// baseConfig is the bucket SNAP: one message per aggregate, the newest. Direct gets stay off: a follower that lags would answer them, and
// a base that is too old looks like a quiet restaurant.
func baseConfig(o Options) jetstream.StreamConfig {
	var metadata map[string]string
	if o.anew > 0 {
		metadata = map[string]string{anewKey: strconv.FormatUint(uint64(o.anew), 10)}
	}
	return jetstream.StreamConfig{
		Metadata: metadata,
		Name:     baseStream, Subjects: []string{baseSubjects},
		Storage: jetstream.FileStorage, Replicas: o.Replicas, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxMsgsPerSubject: 1, MaxConsumers: -1, MaxBytes: o.BaseMaxBytes, MaxMsgSize: maxBaseBytes,
		Duplicates: 100 * time.Millisecond, DenyDelete: true, FirstSeq: o.FirstRevision, Compression: jetstream.NoCompression,
		PersistMode: jetstream.DefaultPersistMode,
	}
}

// cursorConfig is the bucket CURSORS: one message per sink, the newest.
func cursorConfig(o Options) jetstream.StreamConfig {
	c := baseConfig(o)
	c.Name, c.Subjects, c.Metadata, c.FirstSeq = cursorStream, []string{cursorPrefix + ">"}, nil, 0
	c.MaxBytes, c.MaxMsgSize = maxCursorSpace, maxCursorBytes
	return c
}

// openStream makes the stream when it is missing, moves its byte limit to the wanted one, and asserts all else.
func openStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, keepMax, assert bool) (jetstream.Stream, error) {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if s, err = js.CreateStream(ctx, want); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			s, err = js.Stream(ctx, want.Name) // another server of the cluster was faster
		}
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: open stream %s: %w", want.Name, err)
	}
	have := s.CachedInfo().Config
	if keepMax {
		want.MaxBytes = have.MaxBytes
	}
	if used := s.CachedInfo().State.Bytes; want.MaxBytes < 0 || uint64(want.MaxBytes) < used {
		return nil, fmt.Errorf("jetstream: %s holds %d bytes already, a limit of %d would be below that", want.Name, used, want.MaxBytes)
	}
	if have.MaxBytes != want.MaxBytes || want.AllowDirect && !have.AllowDirect {
		have.MaxBytes, have.AllowDirect = want.MaxBytes, want.AllowDirect
		if s, err = js.UpdateStream(ctx, have); err != nil {
			return nil, fmt.Errorf("jetstream: set the byte limit of %s to %d, and direct gets: %w", want.Name, want.MaxBytes, err)
		}
		have = s.CachedInfo().Config
	}
	if !assert {
		return s, nil
	}
	if faults := differences(have, want); len(faults) > 0 {
		return nil, fmt.Errorf("jetstream: stream %s is not what keeps a reservation safe: %s", want.Name, strings.Join(faults, "; "))
	}
	return s, nil
}

// differences names every setting that is not as wanted.
func differences(have, want jetstream.StreamConfig) []string {
	var faults []string
	is := func(name string, have, want any) {
		if have != want {
			faults = append(faults, fmt.Sprintf("%s is %v, must be %v", name, have, want))
		}
	}
	if !slices.Equal(have.Subjects, want.Subjects) {
		faults = append(faults, fmt.Sprintf("subjects are %v, must be %v", have.Subjects, want.Subjects))
	}
	is("storage", have.Storage, want.Storage)
	is("num_replicas", have.Replicas, want.Replicas)
	is("retention", have.Retention, want.Retention)
	is("discard", have.Discard, want.Discard)
	is("discard_new_per_subject", have.DiscardNewPerSubject, false)
	is("max_msgs", have.MaxMsgs, want.MaxMsgs)
	is("max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	is("max_bytes", have.MaxBytes, want.MaxBytes)
	is("max_age", have.MaxAge, time.Duration(0))
	is("max_msg_size", have.MaxMsgSize, want.MaxMsgSize)
	is("no_ack", have.NoAck, false)
	is("sealed", have.Sealed, false)
	is("deny_delete", have.DenyDelete, true)
	is("deny_purge", have.DenyPurge, false)
	is("allow_rollup_hdrs", have.AllowRollup, false)
	is("allow_direct", have.AllowDirect, want.AllowDirect)
	is("mirror_direct", have.MirrorDirect, false)
	is("allow_msg_ttl", have.AllowMsgTTL, false)
	is("allow_msg_counter", have.AllowMsgCounter, false)
	is("allow_msg_schedules", have.AllowMsgSchedules, false)
	is("allow_atomic", have.AllowAtomicPublish, false)
	is("allow_batched", have.AllowBatchPublish, false)
	is("persist_mode", have.PersistMode, jetstream.DefaultPersistMode)
	is("compression", have.Compression, jetstream.NoCompression)
	is("mirror", have.Mirror == nil, true)
	is("sources", len(have.Sources), 0)
	is("subject_transform", have.SubjectTransform == nil, true)
	is("republish", have.RePublish == nil, true)
	return faults
}
