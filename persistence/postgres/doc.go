// Package postgres is the store in PostgreSQL: the read model (lists, search, audit) as tables that other teams may read. Nothing
// opens from it; the journal is the truth.
//
// A transaction loads the rows that its events touch, folds the events into them in memory, and writes what changed with a few
// statements that each take many rows. The schema is migrations/postgres; DESIGN.md says what may be relied on.
package postgres
