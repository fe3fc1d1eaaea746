package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// AuditCmd prints privileged acts from the store, newest first. It reads only, and works beside a running server, whose store
// follows the journal within a second.
type AuditCmd struct {
	Data     string `default:"./data" help:"Data directory of the node."`
	StoreURL string `name:"store-url" help:"PostgreSQL of the store; empty = the file in --data." placeholder:"URL"`
	ID       string `help:"One account or restaurant; all of its events then, also those of guests."`
	Limit    int    `default:"100" help:"Most lines, 1 to 10000."`
}

// Run implements the command.
func (c *AuditCmd) Run() error { return c.run(context.Background(), os.Stdout) }

func (c *AuditCmd) run(ctx context.Context, out io.Writer) error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return errors.New("--limit is 1 to 10000")
	}
	if c.ID != "" && !engine.IsAggregateID(c.ID) {
		return fmt.Errorf("%q is neither an account's id nor a restaurant's", c.ID)
	}
	store, closeStore, err := openAudit(ctx, c.Data, c.StoreURL)
	if err != nil {
		return err
	}
	defer closeStore()
	if c.ID != "" {
		events, err := store.History(ctx, engine.AggregateID(c.ID), c.Limit)
		for i := range events {
			fmt.Fprintln(out, auditLine(&events[i]))
		}
		return err
	}
	left := c.Limit
	return store.Recent(ctx, func(e persistence.Committed) bool {
		if privileged(&e) {
			fmt.Fprintln(out, auditLine(&e))
			left--
		}
		return left > 0
	})
}

// privileged says whether an event is more than a guest's own reservation or a timer.
func privileged(e *persistence.Committed) bool {
	switch e.Event.GetBody().(type) {
	case *enginepb.Event_ReservationCreated, *enginepb.Event_ReservationRescheduled, *enginepb.Event_ReservationStatusChanged,
		*enginepb.Event_ReservationOffered, *enginepb.Event_ReservationReminded, *enginepb.Event_ReservationNoted:
		return e.Event.GetFrom() != ""
	}
	return true
}

// auditLine says when, who, from where and what: ids only, nothing personal.
func auditLine(e *persistence.Committed) string {
	v := e.Event
	who, from := v.GetByAccount(), v.GetFrom()
	if who == "" {
		who = "-"
	}
	if from == "" {
		from = "-"
	}
	role := strings.ToLower(strings.TrimPrefix(v.GetByRole().String(), "ROLE_"))
	return strings.TrimRight(fmt.Sprintf("%s %s %s %s %s v%d %s %s", time.UnixMilli(v.GetAtMs()).UTC().Format("2006-01-02T15:04:05.000Z"),
		who, role, from, e.Aggregate, e.Version, auditName(v), auditDetail(v)), " ")
}

// auditName is the event's body as it is called in engine.proto.
func auditName(v *engine.Event) string {
	m := v.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("body")); f != nil {
		return string(f.Name())
	}
	return "unknown"
}

// overridden says which refusals staff set aside. Their reason is personal, and not in the audit.
func overridden(o *enginepb.Override) (text string) {
	for _, code := range o.GetLifted() {
		text += " lifted:" + engine.Code(code).String()
	}
	return text
}

func auditDetail(v *engine.Event) string {
	switch b := v.GetBody().(type) {
	case *enginepb.Event_TableAdded:
		return b.TableAdded.GetTable().GetId()
	case *enginepb.Event_TableChanged:
		return b.TableChanged.GetTable().GetId()
	case *enginepb.Event_TableRemoved:
		return b.TableRemoved.GetTableId()
	case *enginepb.Event_ReservationCreated:
		r := b.ReservationCreated.GetReservation()
		return r.GetId() + overridden(r.GetOverride())
	case *enginepb.Event_ReservationRescheduled:
		return b.ReservationRescheduled.GetId() + overridden(b.ReservationRescheduled.GetOverride())
	case *enginepb.Event_ReservationNoted:
		return b.ReservationNoted.GetId()
	case *enginepb.Event_ReservationStatusChanged:
		return b.ReservationStatusChanged.GetId() + " " + engine.StatusName(b.ReservationStatusChanged.GetStatus())
	case *enginepb.Event_ReservationOffered:
		return b.ReservationOffered.GetId()
	case *enginepb.Event_ReservationReminded:
		return fmt.Sprintf("%s %d", b.ReservationReminded.GetId(), b.ReservationReminded.GetLeadMin())
	case *enginepb.Event_SessionRevoked:
		return fmt.Sprintf("%q", b.SessionRevoked.GetReason())
	case *enginepb.Event_ApiKeyAdded:
		return b.ApiKeyAdded.GetKey().GetId()
	case *enginepb.Event_ApiKeyRevoked:
		return b.ApiKeyRevoked.GetId()
	case *enginepb.Event_SecondFactorChanged:
		switch f := b.SecondFactorChanged.GetFactor(); {
		case f == nil:
			return "removed"
		case f.GetActive():
			return "confirmed"
		}
		return "begun"
	case *enginepb.Event_SecondFactorUsed:
		if len(b.SecondFactorUsed.GetRecovery()) > 0 {
			return "recovery code"
		}
	}
	return ""
}
