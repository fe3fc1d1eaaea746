-- The read model of the embedded store. persistence/sqlite/DESIGN.md says why it is laid out like this.

-- +goose Up

-- How far the store is. One row, or none while the store is new.
CREATE TABLE cursor (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  journal  TEXT    NOT NULL, -- id of the journal
  seq      INTEGER NOT NULL, -- everything up to this sequence is here
  as_of_ms INTEGER NOT NULL  -- time of the last event, Unix milliseconds
) STRICT;

-- Small numbers for the ids of restaurants and accounts.
CREATE TABLE names (
  n  INTEGER PRIMARY KEY,
  id TEXT    NOT NULL UNIQUE
) STRICT;

-- Where each aggregate stands.
CREATE TABLE heads (
  n       INTEGER PRIMARY KEY, -- names.n
  version INTEGER NOT NULL,    -- of the aggregate: its events that are here
  head    INTEGER NOT NULL     -- events.seq of the newest frame that has an event of it; 0 = none
) STRICT;

CREATE TABLE restaurants (
  n             INTEGER PRIMARY KEY, -- names.n
  version       INTEGER NOT NULL,    -- of the details
  owner         INTEGER NOT NULL,    -- names.n
  name          TEXT    NOT NULL,
  address       TEXT    NOT NULL,
  city          TEXT    NOT NULL,
  country       TEXT    NOT NULL,
  cuisine_type  TEXT    NOT NULL,
  description   TEXT    NOT NULL,
  phone         TEXT    NOT NULL,
  email         TEXT    NOT NULL,
  time_zone     TEXT    NOT NULL,
  latitude      REAL    NOT NULL,
  longitude     REAL    NOT NULL,
  grid_min      INTEGER NOT NULL,
  opening_hours TEXT    NOT NULL     -- JSON: [[days, open_min, close_min, last_seating_min], …]
) STRICT;

CREATE TABLE tables (
  restaurant   INTEGER NOT NULL, -- names.n
  id           TEXT    NOT NULL,
  version      INTEGER NOT NULL,
  number       TEXT    NOT NULL,
  capacity     INTEGER NOT NULL,
  min_capacity INTEGER NOT NULL,
  location     TEXT    NOT NULL,
  in_service   INTEGER NOT NULL,
  PRIMARY KEY (restaurant, id)
) STRICT, WITHOUT ROWID;

-- No personal data: the lists need none.
CREATE TABLE accounts (
  n          INTEGER PRIMARY KEY, -- names.n
  role       INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  erased     INTEGER NOT NULL
) STRICT;

CREATE TABLE reservations (
  n                INTEGER PRIMARY KEY, -- about in the order in which they were made
  restaurant       INTEGER NOT NULL,    -- names.n
  own              ANY     NOT NULL,    -- own part of the id: its 65 bits as a number, or as text when it has more than 64
  guest            INTEGER,             -- names.n; null = staff wrote it in
  tables           ANY     NOT NULL,    -- own parts of the tables' ids: 8 bytes each, or text
  service_day      INTEGER NOT NULL,    -- days since 1970-01-01
  local_min        INTEGER NOT NULL,
  starts_at        INTEGER NOT NULL,    -- Unix seconds
  ends_at          INTEGER NOT NULL,    -- Unix seconds
  guests_count     INTEGER NOT NULL,
  special_requests TEXT,                -- null = none
  status           INTEGER NOT NULL,
  version          INTEGER NOT NULL     -- of the reservation: its ETag
) STRICT;
CREATE UNIQUE INDEX reservations_id ON reservations (restaurant, own);
CREATE INDEX reservations_guest ON reservations (guest, starts_at) WHERE guest IS NOT NULL;
CREATE INDEX reservations_day ON reservations (restaurant, service_day, starts_at);

-- The audit: one row a frame that has events. The body chains each aggregate's frames backwards from heads.head.
CREATE TABLE events (
  seq   INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL, -- time of the frame's first event
  body  BLOB    NOT NULL
) STRICT;

-- +goose Down
DROP TABLE events;
DROP TABLE reservations;
DROP TABLE accounts;
DROP TABLE tables;
DROP TABLE restaurants;
DROP TABLE heads;
DROP TABLE names;
DROP TABLE cursor;
