package enginepb

// EventBody is what an event's oneof may hold.
type EventBody = isEvent_Body

// CommandBody is what a command's oneof may hold.
type CommandBody = isCommand_Body
