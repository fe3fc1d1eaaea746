// Package sqlite is the embedded store: the read model (lists, day sheets, audit) in one SQLite file. Nothing opens from
// it; the journal is the truth, so a commit is not fsynced and after a power cut the cursor is simply older.
package sqlite
