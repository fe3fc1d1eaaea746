// Package engine decides. It holds the two aggregates of maitred, a restaurant and an account, as pure values: no clock, no
// I/O, no goroutine, no lock, no randomness. Time and ids arrive with the command.
//
// Decide answers a command and says which events would make it so; Apply folds an event into the state. Two replays of the
// same events agree in every bit. A View is a frozen copy of the state that readers share; View.Next folds events with the
// same code as Apply.
//
// # Order of checks
//
// The same for every command, and part of the contract:
//
//  1. receipt: a key that was used answers as it did then, with the thing as it is now (or CodeKeyReused; CodeNotFound when
//     the thing is gone since, or is a reservation or a member that the caller may not see any more);
//  2. exists, and may: CodeNotFound (a stranger's reservation too), CodeForbidden, CodeUnauthorized, CodeExists;
//  3. If-Match: CodeStale; what a command creates has version 0;
//  4. transition: CodeInvalidTransition;
//  5. rules: nonsense first (CodeInvalid), then the hours (CodePaused, CodeClosed, CodeTooLate, CodeTooEarly, CodeNotOnGrid),
//     then the tables (CodePartyTooLarge, CodePacingLimit, CodeSlotUnavailable, CodeInUse), then the bounds (CodeLimit).
//
// Staff of a restaurant are its owner, ROLE_ADMIN and ROLE_SYSTEM. Guests see, reschedule and cancel their own reservations;
// everything else is staff's.
//
// # Receipts
//
// A reservation carries the key of the command that made it, as long as it lives in the state (see forget.go: more than
// 24 h after its last change, about a month after its end). The other commands share a ring of MaxReceipts; their receipt
// travels on the last event of the command. A refused attempt leaves no receipt, with or without a key.
//
// # Invariants
//
// Cheap ones are asserted where the state changes, all are checked by CheckInvariants, and each number is cited by a test.
//
//	I1   no two blocking reservations hold one table at one time: the occupancy bits are their disjoint union
//	I2   a reservation's interval is half-open and not empty
//	I3   a blocking reservation is on tables that exist
//	I4   versions are contiguous from 1: of reservations, tables, the restaurant, its rules, the profile
//	I5   an event fits the state that it meets; the first one makes the aggregate, no later one does
//	I6   the time of events never decreases, and a decision is never taken before the last of them
//	I7   each reservation is on the sheet of its service day, once, in order of start
//	I8   a key names one command; a receipt without a key does not exist; index and ring agree
//	I9   nothing grows beyond limits.go
//	I10  a refusal makes no event; the one exception is a refresh token used twice, which ends its family
//	I11  a view never changes, and View.Next(events) is the view of the aggregate after these events
//	I12  opening a base gives the state that wrote it: equal digest, equal answers
//	I13  NextDue is the earliest of: the next reminder of a confirmed reservation, or 30 minutes (or what the rules say) after its start when
//	     there is none; the start of one that waits for approval; the end of a hold; the last start that suits a party that waits for a table;
//	     and 0 when there is none of these
//	I14  nobody waits for a table that he could be offered, unless the events of one command were not enough for all (or a bound is reached)
package engine
