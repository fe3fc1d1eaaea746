package sqlite

import (
	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// apply makes the effect of the next event of an aggregate. Events that the read model has no place for change nothing.
func (t *tx) apply(h *head, c *persistence.Committed) error {
	r := engine.RestaurantID(c.Aggregate)
	switch e := c.Event.GetBody().(type) {
	case *enginepb.Event_ReservationCreated:
		return t.created(h, r, e.ReservationCreated.GetReservation())
	case *enginepb.Event_ReservationRescheduled:
		return t.rescheduled(h, r, e.ReservationRescheduled)
	case *enginepb.Event_ReservationStatusChanged:
		return t.statusChanged(h, r, e.ReservationStatusChanged)
	case *enginepb.Event_ReservationOffered:
		return t.offered(h, r, e.ReservationOffered)
	case *enginepb.Event_ReservationReminded:
		return t.counted(h, r, e.ReservationReminded.GetId())
	case *enginepb.Event_ReservationNoted:
		return t.counted(h, r, e.ReservationNoted.GetId())
	case *enginepb.Event_RestaurantCreated:
		return t.restaurant(h, e.RestaurantCreated.GetRestaurant(), 1)
	case *enginepb.Event_RestaurantChanged:
		args, err := t.restaurantColumns(e.RestaurantChanged.GetRestaurant())
		if err != nil {
			return err
		}
		if err := t.must("change the restaurant", t.stmts.changeRestaurant, append(args, h.n)...); err != nil {
			return err
		}
		return t.indexRestaurant(h.n, e.RestaurantChanged.GetRestaurant())
	case *enginepb.Event_RulesSet:
		return t.rules(h, e.RulesSet.GetRules())
	case *enginepb.Event_TableAdded:
		return t.table(h, e.TableAdded.GetTable())
	case *enginepb.Event_TableChanged:
		return t.table(h, e.TableChanged.GetTable())
	case *enginepb.Event_TableRemoved:
		return t.must("remove the table", t.stmts.dropTable, h.n, e.TableRemoved.GetTableId())
	case *enginepb.Event_StaffSet:
		return t.member(h, e.StaffSet.GetMember())
	case *enginepb.Event_StaffRemoved:
		return t.dismiss(h, e.StaffRemoved.GetAccount())
	case *enginepb.Event_ReviewAdded:
		return t.reviewed(h, r, &persistence.StoredReview{ReviewAdded: e.ReviewAdded, Order: c.Version, AtMs: c.Event.GetAtMs()})
	case *enginepb.Event_AccountRegistered:
		return t.account(h, e.AccountRegistered.GetAccount(), persistence.NotErased)
	case *enginepb.Event_AccountChanged:
		return t.account(h, e.AccountChanged.GetAccount(), persistence.NotErased)
	case *enginepb.Event_AccountErased:
		return t.must("erase the account", t.stmts.eraseAccount, h.n)
	case *enginepb.Event_AccountErasureCompleted:
		t.scrub = true
		return t.must("complete the erasure", t.stmts.erasureCompleted, h.n)
	case *enginepb.Event_GuestForgotten:
		return t.guestForgotten(h, e.GuestForgotten)
	}
	return nil
}

// created keeps a new reservation until flush.
func (t *tx) created(h *head, r engine.RestaurantID, pb *enginepb.Reservation) error {
	row := reservation{restaurant: h.n, own: ownKey(r, engine.ReservationID(pb.GetId())), tables: tablesKey(r, pb.GetTableIds())}
	if g := pb.GetGuest(); g != "" {
		guest, err := t.head(engine.AggregateID(g))
		if err != nil {
			return err
		}
		row.guest = guest.n
	}
	row.day, row.local, row.starts, row.ends = pb.GetServiceDay(), pb.GetLocalMin(), pb.GetStartsAt(), pb.GetEndsAt()
	row.guests, row.requests = pb.GetGuestsCount(), pb.GetSpecialRequests()
	row.status, row.version, row.buffer = pb.GetStatus(), max(1, pb.GetVersion()), pb.GetBufferMin()
	if until := pb.GetHoldUntilMs(); until != 0 {
		row.holdUntil = until
	}
	t.madeAt[reservationKey{engine.AggregateID(r), pb.GetId()}] = len(t.made)
	t.made = append(t.made, row)
	return nil
}

// pending is the reservation if it was made in this transaction.
func (t *tx) pending(r engine.RestaurantID, id string) *reservation {
	if i, ok := t.madeAt[reservationKey{engine.AggregateID(r), id}]; ok {
		return &t.made[i]
	}
	return nil
}

func (t *tx) rescheduled(h *head, r engine.RestaurantID, e *enginepb.ReservationRescheduled) error {
	tables := tablesKey(r, e.GetTableIds())
	if row := t.pending(r, e.GetId()); row != nil {
		row.tables = tables
		row.day, row.local, row.starts, row.ends = e.GetServiceDay(), e.GetLocalMin(), e.GetStartsAt(), e.GetEndsAt()
		row.guests, row.requests, row.buffer = e.GetGuestsCount(), e.GetSpecialRequests(), e.GetBufferMin()
		row.version++
		return nil
	}
	return t.must("reschedule the reservation", t.stmts.reschedule, tables, int64(e.GetServiceDay()), int64(e.GetLocalMin()),
		e.GetStartsAt(), e.GetEndsAt(), int64(e.GetGuestsCount()), orNull(e.GetSpecialRequests()), int64(e.GetBufferMin()), h.n,
		ownKey(r, engine.ReservationID(e.GetId())))
}

func (t *tx) statusChanged(h *head, r engine.RestaurantID, e *enginepb.ReservationStatusChanged) error {
	if row := t.pending(r, e.GetId()); row != nil {
		row.status = e.GetStatus()
		row.version++
		return nil
	}
	return t.must("change the reservation's status", t.stmts.status, int64(e.GetStatus()), h.n,
		ownKey(r, engine.ReservationID(e.GetId())))
}

func (t *tx) offered(h *head, r engine.RestaurantID, e *enginepb.ReservationOffered) error {
	tables := tablesKey(r, e.GetTableIds())
	if row := t.pending(r, e.GetId()); row != nil {
		row.tables, row.local, row.starts, row.ends, row.buffer = tables, e.GetLocalMin(), e.GetStartsAt(), e.GetEndsAt(), e.GetBufferMin()
		row.status, row.holdUntil = engine.StatusHeld, e.GetHoldUntilMs()
		row.version++
		return nil
	}
	return t.must("offer tables", t.stmts.offer, tables, int64(e.GetLocalMin()), e.GetStartsAt(), e.GetEndsAt(), int64(e.GetBufferMin()),
		int64(engine.StatusHeld), e.GetHoldUntilMs(), h.n, ownKey(r, engine.ReservationID(e.GetId())))
}

// counted counts the version of what has no column: a reminder, a note of staff, whose words are for the view of its owner.
func (t *tx) counted(h *head, r engine.RestaurantID, id string) error {
	if row := t.pending(r, id); row != nil {
		row.version++
		return nil
	}
	return t.must("count the version", t.stmts.touch, h.n, ownKey(r, engine.ReservationID(id)))
}

func (t *tx) restaurant(h *head, pb *enginepb.Restaurant, version engine.Version) error {
	args, err := t.restaurantColumns(pb)
	if err != nil {
		return err
	}
	if err := t.exec(t.stmts.restaurant, append([]any{h.n, int64(version)}, args...)...); err != nil {
		return err
	}
	return t.indexRestaurant(h.n, pb)
}

// restaurantColumns are the columns owner to opening_hours.
func (t *tx) restaurantColumns(pb *enginepb.Restaurant) ([]any, error) {
	owner, err := t.head(engine.AggregateID(pb.GetOwner()))
	if err != nil {
		return nil, err
	}
	hours, err := persistence.Hours(pb.GetOpeningHours())
	if err != nil {
		return nil, err
	}
	return []any{owner.n, pb.GetName(), pb.GetAddress(), pb.GetCity(), pb.GetCountry(), pb.GetCuisineType(), pb.GetDescription(),
		pb.GetPhone(), pb.GetEmail(), pb.GetTimeZone(), pb.GetLatitude(), pb.GetLongitude(), int64(pb.GetGridMin()), hours}, nil
}

func (t *tx) rules(h *head, pb *enginepb.Rules) error {
	rules, err := pb.MarshalVT()
	if err != nil {
		return err
	}
	return t.must("set the rules", t.stmts.rules, rules, h.n)
}

func (t *tx) table(h *head, pb *enginepb.Table) error {
	blocks, err := persistence.Blocks(pb.GetBlocks())
	if err != nil {
		return err
	}
	return t.exec(t.stmts.table, h.n, pb.GetId(), int64(pb.GetVersion()), pb.GetTableNumber(), int64(pb.GetCapacity()),
		int64(pb.GetMinCapacity()), pb.GetLocation(), pb.GetInService(), int64(pb.GetChannel()), blocks)
}

func (t *tx) account(h *head, pb *enginepb.Account, erased persistence.Erasure) error {
	return t.exec(t.stmts.account, h.n, int64(pb.GetRole()), pb.GetCreatedMs(), int64(erased))
}
