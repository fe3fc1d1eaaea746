-- The read model in PostgreSQL: a contract for other teams. Everything in it follows the journal and is written by maitred alone;
-- persistence/postgres/DESIGN.md says what may be relied on.

-- +goose Up
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- How far the store is.
CREATE TABLE cursors (
  sink     text PRIMARY KEY,
  journal  text        NOT NULL, -- id of the journal; '' = nothing has been written yet
  seq      bigint      NOT NULL, -- everything up to this sequence is here
  as_of    timestamptz NOT NULL, -- time of the last event
  revision bigint      NOT NULL  -- counts the transactions
);
INSERT INTO cursors VALUES ('store', '', 0, 'epoch', 0);

-- Where each aggregate (a restaurant or an account) stands.
CREATE TABLE heads (
  aggregate text COLLATE "C" PRIMARY KEY,
  version   bigint NOT NULL -- of the aggregate: its events that are here
);

-- Accounts, without personal data. The id is a keyed hash of the e-mail address: who has the key finds the row by it.
CREATE TABLE users (
  id         text COLLATE "C" PRIMARY KEY,
  role       text,                         -- customer, owner, admin; null = the account is erased or was only mentioned so far
  created_at timestamptz,
  erased     smallint NOT NULL DEFAULT 0   -- 0 = no, 1 = restaurants may still know the guest, 2 = complete
);
CREATE INDEX users_role ON users (role, id);
CREATE INDEX users_erasing ON users (id) WHERE erased = 1;

CREATE TABLE restaurants (
  id             text COLLATE "C" PRIMARY KEY,
  n              bigint GENERATED ALWAYS AS IDENTITY UNIQUE, -- order of registration
  version        bigint NOT NULL,                            -- of the details
  owner_id       text COLLATE "C" NOT NULL REFERENCES users DEFERRABLE INITIALLY DEFERRED,
  name           text NOT NULL,
  address        text NOT NULL,
  city           text NOT NULL,
  country        text NOT NULL,
  cuisine_type   text NOT NULL,
  description    text NOT NULL,
  phone          text NOT NULL,
  email          text NOT NULL,
  time_zone      text NOT NULL,                              -- IANA
  latitude       double precision NOT NULL,
  longitude      double precision NOT NULL,
  location       point GENERATED ALWAYS AS (point(longitude, latitude)) STORED,
  grid_minutes   integer NOT NULL,                           -- 0 = default
  opening_hours  jsonb NOT NULL,                             -- [[days, open, close, last seating], …] days: bit 0 = Monday; minutes
  rating_sum     bigint NOT NULL DEFAULT 0,
  total_reviews  bigint NOT NULL DEFAULT 0,
  average_rating double precision GENERATED ALWAYS AS (rating_sum::double precision / nullif(total_reviews, 0)) STORED,
  -- for searches: folded by maitred (lower case, without accents), words with a blank between
  name_folded    text COLLATE "C" NOT NULL,
  city_folded    text COLLATE "C" NOT NULL,
  cuisine_folded text COLLATE "C" NOT NULL,
  words          text COLLATE "C" NOT NULL,                  -- all of them, with a blank before and after each
  words_ranked   tsvector NOT NULL                           -- A name, B cuisine, C city, D the rest
);
CREATE INDEX restaurants_owner ON restaurants (owner_id);
CREATE INDEX restaurants_name ON restaurants (name_folded, n);
CREATE INDEX restaurants_city ON restaurants (city_folded, cuisine_folded, name_folded, n);
CREATE INDEX restaurants_cuisine ON restaurants (cuisine_folded, name_folded, n);
CREATE INDEX restaurants_location ON restaurants USING gist (location);
CREATE INDEX restaurants_words ON restaurants USING gin (words_ranked);

-- Every word of a restaurant that was ever there: for words that are misspelt.
CREATE TABLE terms (
  term text COLLATE "C" PRIMARY KEY
);
CREATE INDEX terms_trigrams ON terms USING gin (term gin_trgm_ops);

-- Tables stay when they are removed, because reservations name them.
CREATE TABLE tables (
  id            text COLLATE "C" PRIMARY KEY,
  restaurant_id text COLLATE "C" NOT NULL REFERENCES restaurants DEFERRABLE INITIALLY DEFERRED,
  version       bigint  NOT NULL,
  number        text    NOT NULL,
  capacity      integer NOT NULL,
  min_capacity  integer NOT NULL,
  location      text    NOT NULL,
  in_service    boolean NOT NULL,
  removed       boolean NOT NULL DEFAULT false
);
CREATE INDEX tables_capacity ON tables (restaurant_id, capacity) WHERE NOT removed;

CREATE TABLE staff (
  restaurant_id text COLLATE "C" NOT NULL REFERENCES restaurants DEFERRABLE INITIALLY DEFERRED,
  user_id       text COLLATE "C" NOT NULL REFERENCES users DEFERRABLE INITIALLY DEFERRED,
  role          text        NOT NULL, -- manager or host
  since         timestamptz NOT NULL,
  version       bigint      NOT NULL,
  PRIMARY KEY (restaurant_id, user_id)
);
CREATE INDEX staff_user ON staff (user_id);

CREATE TABLE reservations (
  id               text COLLATE "C" PRIMARY KEY,
  restaurant_id    text COLLATE "C" NOT NULL REFERENCES restaurants DEFERRABLE INITIALLY DEFERRED,
  user_id          text COLLATE "C" REFERENCES users DEFERRABLE INITIALLY DEFERRED, -- null = staff wrote it in, or the guest was erased
  service_date     date        NOT NULL, -- of the shift: after midnight it is still the evening before
  local_minutes    integer     NOT NULL, -- after midnight of service_date on the restaurant's clock; may pass 1,440
  starts_at        timestamptz NOT NULL,
  ends_at          timestamptz NOT NULL, -- exclusive
  guests_count     integer     NOT NULL,
  special_requests text,
  status           text        NOT NULL, -- held, pending, confirmed, seated, completed, cancelled, expired, declined, no_show
  version          bigint      NOT NULL  -- its ETag
);
CREATE INDEX reservations_user ON reservations (user_id, starts_at, id) WHERE user_id IS NOT NULL;
CREATE INDEX reservations_restaurant ON reservations (restaurant_id, service_date, local_minutes);
CREATE INDEX reservations_date ON reservations (service_date, local_minutes);
CREATE INDEX reservations_status ON reservations (status, service_date);

-- Which tables a reservation has. The exclusion is the last witness that no table is given away twice: it cannot fail unless
-- maitred is wrong, and then the row is parked, counted and an alarm raised; nothing stops.
CREATE TABLE reservation_tables (
  reservation_id text COLLATE "C" NOT NULL REFERENCES reservations ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  position       smallint NOT NULL, -- in a combination, from 0
  table_id       text COLLATE "C" NOT NULL REFERENCES tables DEFERRABLE INITIALLY DEFERRED,
  period         tstzrange NOT NULL,
  occupies       boolean NOT NULL,  -- held, pending, confirmed or seated
  parked         boolean NOT NULL DEFAULT false, -- somebody else had the table when this was written
  PRIMARY KEY (reservation_id, position),
  CONSTRAINT one_party_per_table EXCLUDE USING gist (table_id WITH =, period WITH &&) WHERE (occupies AND NOT parked) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX reservation_tables_table ON reservation_tables (table_id);

CREATE TABLE reviews (
  id             text COLLATE "C" PRIMARY KEY,
  restaurant_id  text COLLATE "C" NOT NULL REFERENCES restaurants DEFERRABLE INITIALLY DEFERRED,
  reservation_id text COLLATE "C" NOT NULL,
  user_id        text COLLATE "C" REFERENCES users DEFERRABLE INITIALLY DEFERRED, -- null = the guest was erased
  version        bigint      NOT NULL, -- of the restaurant with it: the order in which they came
  rating         smallint    NOT NULL CHECK (rating BETWEEN 1 AND 5),
  comment        text,
  created_at     timestamptz NOT NULL
);
CREATE INDEX reviews_restaurant ON reviews (restaurant_id, version);
CREATE INDEX reviews_rating ON reviews (restaurant_id, rating, version);
CREATE INDEX reviews_user ON reviews (user_id) WHERE user_id IS NOT NULL;

-- The audit: every event, without personal data.
CREATE TABLE events (
  seq       bigint      NOT NULL, -- of its frame in the journal
  index     integer     NOT NULL, -- in the frame
  aggregate text COLLATE "C" NOT NULL,
  version   bigint      NOT NULL, -- of the aggregate
  at        timestamptz NOT NULL,
  type      text        NOT NULL, -- ReservationCreated, …
  body      bytea       NOT NULL, -- protobuf: maitred.engine.Event
  PRIMARY KEY (seq, index)
);
CREATE INDEX events_aggregate ON events (aggregate, version);

-- Aggregates whose events could not be written. They stay in events, the rows are as of heads.version, and all others go on.
CREATE TABLE parked (
  aggregate text COLLATE "C" PRIMARY KEY,
  version   bigint      NOT NULL,              -- of the first event that is not in the rows
  reason    text        NOT NULL,
  since     timestamptz NOT NULL DEFAULT now(),
  resume    boolean     NOT NULL DEFAULT false -- an operator asks to try again
);

-- +goose Down
DROP TABLE parked, events, reviews, reservation_tables, reservations, staff, tables, terms, restaurants, users, heads, cursors;
