package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// The roles.
const (
	RoleNone     = enginepb.Role_ROLE_UNSPECIFIED
	RoleCustomer = enginepb.Role_ROLE_CUSTOMER
	RoleOwner    = enginepb.Role_ROLE_OWNER
	RoleSystem   = enginepb.Role_ROLE_SYSTEM
	RoleAdmin    = enginepb.Role_ROLE_ADMIN
	RoleManager  = enginepb.Role_ROLE_MANAGER // of one restaurant
	RoleHost     = enginepb.Role_ROLE_HOST    // of one restaurant
)

// The statuses.
const (
	StatusHeld      = enginepb.Status_STATUS_HELD
	StatusPending   = enginepb.Status_STATUS_PENDING
	StatusConfirmed = enginepb.Status_STATUS_CONFIRMED
	StatusSeated    = enginepb.Status_STATUS_SEATED
	StatusCompleted = enginepb.Status_STATUS_COMPLETED
	StatusCancelled = enginepb.Status_STATUS_CANCELLED
	StatusExpired   = enginepb.Status_STATUS_EXPIRED
	StatusDeclined  = enginepb.Status_STATUS_DECLINED
	StatusNoShow    = enginepb.Status_STATUS_NO_SHOW
	StatusWaiting   = enginepb.Status_STATUS_WAITING // on the waitlist: holds no table
)

// Channel says who may book a table.
type Channel = enginepb.Channel

// The channels, each narrower than the one before.
const (
	ChannelOnline  = enginepb.Channel_CHANNEL_ONLINE   // everybody
	ChannelInHouse = enginepb.Channel_CHANNEL_IN_HOUSE // staff, for guests who call or walk in
	ChannelWalkIn  = enginepb.Channel_CHANNEL_WALK_IN  // nobody ahead: staff who name the table
)

// Approval says which bookings of guests wait for the house.
type Approval = enginepb.Approval

// The kinds of approval.
const (
	ApprovalAutomatic = enginepb.Approval_APPROVAL_AUTOMATIC // none waits
	ApprovalManual    = enginepb.Approval_APPROVAL_MANUAL    // all wait
	ApprovalLarge     = enginepb.Approval_APPROVAL_LARGE     // those of large parties wait
)

var approvalNames = [...]string{ApprovalAutomatic: "automatic", ApprovalManual: "manual", ApprovalLarge: "large_parties"}

// ApprovalName is the approval as the API spells it; "" for an unknown one.
func ApprovalName(a Approval) string {
	if a < 0 || int(a) >= len(approvalNames) {
		return ""
	}
	return approvalNames[a]
}

// ParseApproval reads what ApprovalName writes.
func ParseApproval(name string) (Approval, bool) {
	i := slices.Index(approvalNames[:], name)
	return Approval(max(i, 0)), i >= 0
}

var channelNames = [...]string{ChannelOnline: "online", ChannelInHouse: "in_house", ChannelWalkIn: "walk_in"}

// ChannelName is the channel as the API spells it; "" for an unknown one.
func ChannelName(c Channel) string {
	if c < 0 || int(c) >= len(channelNames) {
		return ""
	}
	return channelNames[c]
}

// ParseChannel reads what ChannelName writes.
func ParseChannel(name string) (Channel, bool) {
	i := slices.Index(channelNames[:], name)
	return Channel(max(i, 0)), i >= 0
}

var codeNames = [...]string{
	CodeOK: "ok", CodeCreated: "created",
	CodeKeyReused: "idempotency_key_reused", CodeNotFound: "not_found", CodeForbidden: "forbidden",
	CodeUnauthorized: "unauthorized", CodeExists: "exists", CodeStale: "stale",
	CodeInvalidTransition: "invalid_transition", CodeInvalid: "invalid", CodeClosed: "closed",
	CodeTooLate: "too_late", CodeTooEarly: "too_early", CodeNotOnGrid: "not_on_grid",
	CodePartyTooLarge: "party_too_large", CodeSlotUnavailable: "slot_unavailable",
	CodeInUse: "in_use", CodeLimit: "limit_reached", CodePaused: "paused", CodePacingLimit: "pacing_limit",
}

// CodeCount is the number of codes; they are 0 … CodeCount-1.
const CodeCount = int(codeEnd)

// Every code has a name.
var _ = [1]struct{}{}[len(codeNames)-CodeCount]

// String is the stable name of the code in problem documents.
func (c Code) String() string {
	if int(c) >= len(codeNames) {
		return "unknown"
	}
	return codeNames[c]
}

// Refused reports whether nothing was done.
func (c Code) Refused() bool { return c > CodeCreated }

var statusNames = [...]string{
	StatusHeld: "held", StatusPending: "pending",
	StatusConfirmed: "confirmed", StatusSeated: "seated", StatusCompleted: "completed",
	StatusCancelled: "cancelled", StatusExpired: "expired",
	StatusDeclined: "declined", StatusNoShow: "no_show",
	StatusWaiting: "waiting",
}

// StatusName is the status as the API spells it; "" for an unknown one.
func StatusName(s Status) string {
	if s < 0 || int(s) >= len(statusNames) {
		return ""
	}
	return statusNames[s]
}

// ParseStatus reads what StatusName writes.
func ParseStatus(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name && n != "" {
			return Status(s), true
		}
	}
	return 0, false
}

var actionNames = [...]string{
	ActionCancel: "cancel", ActionConfirm: "confirm", ActionDecline: "decline", ActionSeat: "seat",
	ActionComplete: "complete", ActionNoShow: "no-show", ActionReinstate: "reinstate",
	ActionRelease: "release",
}

// ActionName is the action as it stands in the path of the API; "" for an unknown one.
func ActionName(a Action) string {
	if int(a) >= len(actionNames) {
		return ""
	}
	return actionNames[a]
}

// ParseAction reads what ActionName writes.
func ParseAction(name string) (Action, bool) {
	for a, n := range actionNames {
		if n == name && n != "" {
			return Action(a), true
		}
	}
	return 0, false
}
