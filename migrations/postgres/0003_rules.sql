-- What a house says of its book, and how long a table stays free after a party.

-- +goose Up
ALTER TABLE restaurants ADD COLUMN rules bytea; -- protobuf: maitred.engine.v1.Rules; null = never set
ALTER TABLE reservations ADD COLUMN buffer_minutes integer NOT NULL DEFAULT 0; -- after ends_at; reservation_tables.period has it

-- +goose Down
ALTER TABLE restaurants DROP COLUMN rules;
ALTER TABLE reservations DROP COLUMN buffer_minutes;
