package enginepb

// EventBody is what an event's oneof may hold.
type EventBody = isEvent_Body
