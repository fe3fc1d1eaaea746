-- Staff, reviews and ratings. Day sheets come from the owner of a restaurant, so the index for them goes: a third of what a
-- reservation costs here.

-- +goose Up
DROP INDEX reservations_day;

CREATE TABLE staff (
  restaurant INTEGER NOT NULL, -- names.n
  account    INTEGER NOT NULL, -- names.n
  role       INTEGER NOT NULL, -- engine.Role: manager or host
  since_ms   INTEGER NOT NULL, -- Unix milliseconds
  version    INTEGER NOT NULL,
  PRIMARY KEY (restaurant, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX staff_account ON staff (account);
CREATE INDEX restaurants_owner ON restaurants (owner);

ALTER TABLE restaurants ADD COLUMN rating_sum   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE restaurants ADD COLUMN rating_count INTEGER NOT NULL DEFAULT 0;

-- What guests wrote. Who wrote it stands in the audit.
CREATE TABLE reviews (
  n          INTEGER PRIMARY KEY, -- in the order in which they came
  restaurant INTEGER NOT NULL,    -- names.n
  own        ANY     NOT NULL,    -- own part of the id, as in reservations
  rating     INTEGER NOT NULL,    -- 1–5
  comment    TEXT,                -- null = none
  at_ms      INTEGER NOT NULL     -- Unix milliseconds
) STRICT;
CREATE INDEX reviews_restaurant ON reviews (restaurant, n);

-- +goose Down
DROP TABLE reviews;
ALTER TABLE restaurants DROP COLUMN rating_sum;
ALTER TABLE restaurants DROP COLUMN rating_count;
DROP INDEX restaurants_owner;
DROP TABLE staff;
CREATE INDEX reservations_day ON reservations (restaurant, service_day, starts_at);
