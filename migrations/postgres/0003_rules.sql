-- What a house says of its book, how long a table stays free after a party, and who may book it.

-- +goose Up
ALTER TABLE restaurants ADD COLUMN rules bytea; -- protobuf: maitred.engine.v1.Rules; null = never set
ALTER TABLE reservations ADD COLUMN buffer_minutes integer NOT NULL DEFAULT 0; -- after ends_at; reservation_tables.period has it
ALTER TABLE reservations ADD COLUMN hold_until timestamptz; -- of what is or was held
ALTER TABLE tables ADD COLUMN channel text NOT NULL DEFAULT 'online'; -- online, in_house, walk_in
ALTER TABLE tables ADD COLUMN blocks jsonb NOT NULL DEFAULT '[]'; -- [[from, until], …] Unix seconds

-- +goose Down
ALTER TABLE restaurants DROP COLUMN rules;
ALTER TABLE reservations DROP COLUMN buffer_minutes;
ALTER TABLE reservations DROP COLUMN hold_until;
ALTER TABLE tables DROP COLUMN channel;
ALTER TABLE tables DROP COLUMN blocks;
