package dev

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// PauseReplay stops a replica from showing what its server writes from now on; it goes on receiving it.
func (p *Postgres) PauseReplay(ctx context.Context) error {
	return p.replay(ctx, "SELECT pg_wal_replay_pause()", "SELECT pg_get_wal_replay_pause_state() = 'paused'")
}

// ResumeReplay ends PauseReplay.
func (p *Postgres) ResumeReplay(ctx context.Context) error {
	return p.replay(ctx, "SELECT pg_wal_replay_resume()", "SELECT pg_get_wal_replay_pause_state() = 'not paused'")
}

// AwaitReplay waits until a replica shows what its server had written when this was called.
func (p *Postgres) AwaitReplay(ctx context.Context, server *Postgres) error {
	conn, err := pgx.Connect(ctx, server.DSN)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var written string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&written); err != nil {
		return err
	}
	return p.replay(ctx, "", "SELECT pg_last_wal_replay_lsn() >= '"+written+"'::pg_lsn")
}

// replay runs a statement, and then asks until the answer is yes.
func (p *Postgres) replay(ctx context.Context, first, until string) error {
	conn, err := pgx.Connect(ctx, p.DSN)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if first != "" {
		if _, err := conn.Exec(ctx, first); err != nil {
			return err
		}
	}
	return p.await(ctx, func() error {
		var yes bool
		err := conn.QueryRow(ctx, until).Scan(&yes)
		if err == nil && !yes {
			err = errors.New("not yet: " + until)
		}
		return err
	})
}
