// Package persistence says what survives: the contracts of journal, bases, sinks and store, and everything about them that
// is a pure function.
//
//   - record.go, codec.go, bodies.go: frame, claim, genesis and checkpoint, and their bytes;
//   - custody.go, custody_check.go: the fold that says who may write what, and its assertions;
//   - tail.go: which events lie in no base, and where;
//   - feed.go, read.go: durable events for followers, and the events of one aggregate by position;
//   - purge.go: what may go, and whether the journal lost what others remember;
//   - limits.go: every bound.
//
// The technologies lie in the sub-folders, one in each; persistencetest holds the suites that all of them pass. DESIGN.md
// has the decisions.
package persistence
