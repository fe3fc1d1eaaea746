// Package migrations holds the SQL schemas of the stores, in the order in which they are to be applied.
package migrations

import "embed"

// SQLite has the migrations of the embedded store, in the folder "sqlite".
//
//go:embed sqlite/*.sql
var SQLite embed.FS

// Postgres has the migrations of the PostgreSQL store, in the folder "postgres".
//
//go:embed postgres/*.sql
var Postgres embed.FS
