package engine

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"maitred/engine/enginepb"
)

// ErrCommand is what DecodeCommand wraps: the bytes are no command that this build understands in full.
var ErrCommand = errors.New("engine: not a command")

// Protocol numbers what builds say to each other, and what they write because of it. It rises by one with the build that is the first to
// know a new command, event, or field of one; nodes announce it, and during a rolling upgrade the lowest one counts.
const Protocol = 2

// Protocol is what every node of a cluster must announce before the command may be decided on any of them: an older owner would refuse
// it, and an older heir would leave out what it has become. A new kind of command, or one with a new field that is set, names its own.
func (c *Command) Protocol() uint16 {
	shifts := func(list []OpeningHours) bool {
		return slices.ContainsFunc(list, func(h OpeningHours) bool { return h.Name != "" || h.GridMin != 0 })
	}
	switch b := c.Body.(type) {
	case *SetRules, *SeatWalkIn, *Hold, *ConfirmHold, *JoinWaitlist, *OfferTable, *AssignTables, *Annotate:
		return 2
	case *AddTable:
		if b.Table.Channel != ChannelOnline || len(b.Table.Blocks) > 0 {
			return 2
		}
	case *ChangeTable:
		if b.Change.Channel != nil || b.Change.Blocks != nil {
			return 2
		}
	case *CreateReservation:
		if b.Area != "" || b.Override != "" {
			return 2
		}
	case *Reschedule:
		if b.Area != nil || b.Override != "" {
			return 2
		}
	case *Transition:
		if b.Action == ActionRelease {
			return 2
		}
	case *CreateRestaurant:
		if shifts(b.Details.OpeningHours) {
			return 2
		}
	case *ChangeRestaurant:
		if h := b.Change.OpeningHours; h != nil && shifts(*h) {
			return 2
		}
	}
	return 1
}

// AppendCommand appends the command's protobuf encoding, for the node that owns the aggregate. Equal commands give equal bytes.
// A Sweep panics: the timers of a node send it to themselves only.
func AppendCommand(dst []byte, c *Command) []byte { return appendMessage(dst, c.proto()) }

// DecodeCommand reads what AppendCommand wrote, and nothing else. The command keeps no reference to b.
func DecodeCommand(b []byte) (*Command, error) {
	p := new(enginepb.Command)
	if err := p.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	c := &Command{Caller: Caller{AccountID(p.Account), p.Role, p.From}, Key: hashFrom(p.Key), Payload: hashFrom(p.Payload),
		IfMatch: Version(p.IfMatch), Body: bodyFrom(p.Body)}
	switch {
	case c.Body == nil:
		return nil, fmt.Errorf("%w: it asks for nothing that this build knows", ErrCommand)
	case !c.named():
		return nil, fmt.Errorf("%w: it names a role or an action that this build does not know", ErrCommand)
	case !bytes.Equal(AppendCommand(nil, c), b):
		// An unknown field, a hash of another length and a number that does not fit are lost on the way back.
		return nil, fmt.Errorf("%w: it says what this build does not", ErrCommand)
	}
	return c, nil
}

// named reports whether the roles and the action of a decoded command have names here: what a newer build means by others
// is unknown.
func (c *Command) named() bool {
	role := RoleNone
	switch body := c.Body.(type) {
	case *Transition:
		if ActionName(body.Action) == "" {
			return false
		}
	case *SetRules:
		return (body.Change.Approval == nil || ApprovalName(*body.Change.Approval) != "") && knownRole(c.Caller.Role)
	case *AddTable:
		return ChannelName(body.Table.Channel) != "" && knownRole(c.Caller.Role)
	case *ChangeTable:
		return (body.Change.Channel == nil || ChannelName(*body.Change.Channel) != "") && knownRole(c.Caller.Role)
	case *AddStaff:
		role = body.Role
	case *ChangeStaff:
		role = body.Role
	case *Register:
		role = body.Profile.Role
	}
	return knownRole(role) && knownRole(c.Caller.Role)
}

func knownRole(r Role) bool {
	_, known := enginepb.Role_name[int32(r)]
	return known
}

func (c *Command) proto() *enginepb.Command {
	return &enginepb.Command{Account: string(c.Caller.Account), Role: c.Caller.Role, From: c.Caller.From,
		Key: hashBytes(c.Key), Payload: hashBytes(c.Payload), IfMatch: uint64(c.IfMatch), Body: bodyProto(c.Body)}
}

func bodyProto(b Body) enginepb.CommandBody {
	switch b := b.(type) {
	case *CreateRestaurant:
		return &enginepb.Command_CreateRestaurant{CreateRestaurant: b.proto()}
	case *ChangeRestaurant:
		return &enginepb.Command_ChangeRestaurant{ChangeRestaurant: b.proto()}
	case *SetRules:
		return &enginepb.Command_SetRules{SetRules: b.proto()}
	case *AddTable:
		return &enginepb.Command_AddTable{AddTable: b.proto()}
	case *ChangeTable:
		return &enginepb.Command_ChangeTable{ChangeTable: b.proto()}
	case *RemoveTable:
		return &enginepb.Command_RemoveTable{RemoveTable: &enginepb.RemoveTable{Id: string(b.ID)}}
	case *CreateReservation:
		return &enginepb.Command_CreateReservation{CreateReservation: b.proto()}
	case *Hold:
		return &enginepb.Command_Hold{Hold: b.proto()}
	case *ConfirmHold:
		return &enginepb.Command_ConfirmHold{ConfirmHold: &enginepb.ConfirmHold{Id: string(b.ID), SpecialRequests: b.SpecialRequests}}
	case *AssignTables, *Annotate:
		return staffWorkProto(b)
	case *SeatWalkIn:
		return &enginepb.Command_SeatWalkIn{SeatWalkIn: b.proto()}
	case *JoinWaitlist, *OfferTable:
		return waitlistProto(b)
	case *Reschedule:
		return &enginepb.Command_Reschedule{Reschedule: b.proto()}
	case *Transition:
		return &enginepb.Command_Transition{Transition: &enginepb.Transition{Id: string(b.ID), Action: uint32(b.Action), Reason: b.Reason}}
	case *AddStaff:
		return &enginepb.Command_AddStaff{AddStaff: &enginepb.AddStaff{Account: string(b.Account), Role: b.Role}}
	case *ChangeStaff:
		return &enginepb.Command_ChangeStaff{ChangeStaff: &enginepb.ChangeStaff{Account: string(b.Account), Role: b.Role}}
	case *RemoveStaff:
		return &enginepb.Command_RemoveStaff{RemoveStaff: &enginepb.RemoveStaff{Account: string(b.Account)}}
	case *AddReview:
		return &enginepb.Command_AddReview{AddReview: b.proto()}
	case *ForgetGuest:
		return &enginepb.Command_ForgetGuest{ForgetGuest: &enginepb.ForgetGuest{Guest: string(b.Guest)}}
	}
	return accountBodyProto(b)
}

func accountBodyProto(b Body) enginepb.CommandBody {
	switch b := b.(type) {
	case *Register:
		return &enginepb.Command_Register{Register: b.proto()}
	case *ChangeProfile:
		return &enginepb.Command_ChangeProfile{ChangeProfile: b.proto()}
	case *OpenSession:
		return &enginepb.Command_OpenSession{OpenSession: b.proto()}
	case *RotateSession:
		return &enginepb.Command_RotateSession{RotateSession: &enginepb.RotateSession{Old: hash32Bytes(&b.Old), New: hash32Bytes(&b.New)}}
	case *RevokeSession:
		return &enginepb.Command_RevokeSession{RevokeSession: &enginepb.RevokeSession{Refresh: hash32Bytes(&b.Refresh), All: b.All}}
	case *BeginSecondFactor:
		return &enginepb.Command_BeginSecondFactor{BeginSecondFactor: &enginepb.BeginSecondFactor{Secret: []byte(b.Secret)}}
	case *ConfirmSecondFactor:
		return &enginepb.Command_ConfirmSecondFactor{ConfirmSecondFactor: b.proto()}
	case *RemoveSecondFactor:
		return &enginepb.Command_RemoveSecondFactor{RemoveSecondFactor: &enginepb.RemoveSecondFactor{}}
	case *RehashPassword:
		return &enginepb.Command_RehashPassword{RehashPassword: &enginepb.RehashPassword{Old: b.Old, New: b.New}}
	case *NoteThrottle:
		return &enginepb.Command_NoteThrottle{NoteThrottle: &enginepb.NoteThrottle{}}
	case *AddAPIKey:
		return &enginepb.Command_AddApiKey{AddApiKey: b.proto()}
	case *RevokeAPIKey:
		return &enginepb.Command_RevokeApiKey{RevokeApiKey: &enginepb.RevokeApiKey{Id: b.ID}}
	case *EraseAccount:
		return &enginepb.Command_EraseAccount{EraseAccount: &enginepb.EraseAccount{}}
	case *CompleteErasure:
		return &enginepb.Command_CompleteErasure{CompleteErasure: &enginepb.CompleteErasure{}}
	}
	panic("engine: a command that is not sent to another node")
}

// bodyFrom is nil for a body that this build does not know.
func bodyFrom(p enginepb.CommandBody) Body {
	switch p := p.(type) {
	case *enginepb.Command_CreateRestaurant:
		return createRestaurantFrom(p.CreateRestaurant)
	case *enginepb.Command_ChangeRestaurant:
		return changeRestaurantFrom(p.ChangeRestaurant)
	case *enginepb.Command_SetRules:
		return setRulesFrom(p.SetRules)
	case *enginepb.Command_AddTable:
		return addTableFrom(p.AddTable)
	case *enginepb.Command_ChangeTable:
		return changeTableFrom(p.ChangeTable)
	case *enginepb.Command_RemoveTable:
		return &RemoveTable{ID: TableID(p.RemoveTable.Id)}
	case *enginepb.Command_CreateReservation:
		return createReservationFrom(p.CreateReservation)
	case *enginepb.Command_Hold:
		return holdFrom(p.Hold)
	case *enginepb.Command_ConfirmHold:
		return &ConfirmHold{ReservationID(p.ConfirmHold.Id), p.ConfirmHold.SpecialRequests}
	case *enginepb.Command_AssignTables, *enginepb.Command_Annotate:
		return staffWorkFrom(p)
	case *enginepb.Command_SeatWalkIn:
		return seatWalkInFrom(p.SeatWalkIn)
	case *enginepb.Command_JoinWaitlist, *enginepb.Command_OfferTable:
		return waitlistFrom(p)
	case *enginepb.Command_Reschedule:
		return rescheduleFrom(p.Reschedule)
	case *enginepb.Command_Transition:
		return &Transition{ReservationID(p.Transition.Id), Action(p.Transition.Action), p.Transition.Reason}
	case *enginepb.Command_AddStaff:
		return &AddStaff{AccountID(p.AddStaff.Account), p.AddStaff.Role}
	case *enginepb.Command_ChangeStaff:
		return &ChangeStaff{AccountID(p.ChangeStaff.Account), p.ChangeStaff.Role}
	case *enginepb.Command_RemoveStaff:
		return &RemoveStaff{AccountID(p.RemoveStaff.Account)}
	case *enginepb.Command_AddReview:
		return addReviewFrom(p.AddReview)
	case *enginepb.Command_ForgetGuest:
		return &ForgetGuest{AccountID(p.ForgetGuest.Guest)}
	}
	return accountBodyFrom(p)
}

func accountBodyFrom(p enginepb.CommandBody) Body {
	switch p := p.(type) {
	case *enginepb.Command_Register:
		return registerFrom(p.Register)
	case *enginepb.Command_ChangeProfile:
		return changeProfileFrom(p.ChangeProfile)
	case *enginepb.Command_OpenSession:
		return openSessionFrom(p.OpenSession)
	case *enginepb.Command_RotateSession:
		return &RotateSession{hash32(p.RotateSession.Old), hash32(p.RotateSession.New)}
	case *enginepb.Command_RevokeSession:
		return &RevokeSession{hash32(p.RevokeSession.Refresh), p.RevokeSession.All}
	case *enginepb.Command_BeginSecondFactor:
		return &BeginSecondFactor{string(p.BeginSecondFactor.Secret)}
	case *enginepb.Command_ConfirmSecondFactor:
		return confirmSecondFactorFrom(p.ConfirmSecondFactor)
	case *enginepb.Command_RemoveSecondFactor:
		return &RemoveSecondFactor{}
	case *enginepb.Command_RehashPassword:
		return &RehashPassword{p.RehashPassword.Old, p.RehashPassword.New}
	case *enginepb.Command_NoteThrottle:
		return &NoteThrottle{}
	case *enginepb.Command_AddApiKey:
		return addAPIKeyFrom(p.AddApiKey)
	case *enginepb.Command_RevokeApiKey:
		return &RevokeAPIKey{p.RevokeApiKey.Id}
	case *enginepb.Command_EraseAccount:
		return &EraseAccount{}
	case *enginepb.Command_CompleteErasure:
		return &CompleteErasure{}
	}
	return nil
}

// hash32Bytes is nil for the zero hash.
func hash32Bytes(h *Hash32) []byte {
	if *h == (Hash32{}) {
		return nil
	}
	return h[:]
}

// as is the pointer to the same value of another type, or nil.
func as[To, From ~string](p *From) *To {
	if p == nil {
		return nil
	}
	return new(To(*p))
}

func wide(p *int) *int64 {
	if p == nil {
		return nil
	}
	return new(int64(*p))
}

func narrow(p *int64) *int {
	if p == nil {
		return nil
	}
	return new(int(*p))
}

// ForRestaurant reports whether restaurants decide that kind of command; accounts decide the others.
func ForRestaurant(b Body) bool {
	switch b.(type) {
	case *CreateRestaurant, *ChangeRestaurant, *SetRules, *AddTable, *ChangeTable, *RemoveTable, *CreateReservation, *SeatWalkIn, *Hold, *ConfirmHold, *JoinWaitlist, *OfferTable,
		*Reschedule, *Transition, *AddStaff, *ChangeStaff, *RemoveStaff, *AddReview, *ForgetGuest, *Sweep, *AssignTables, *Annotate:
		return true
	}
	return false
}
