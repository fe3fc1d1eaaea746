-- What a house says of its book, and how long a table stays free after a party.

-- +goose Up
ALTER TABLE restaurants ADD COLUMN rules BLOB; -- protobuf: maitred.engine.v1.Rules; null = never set
ALTER TABLE reservations ADD COLUMN buffer_min INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE restaurants DROP COLUMN rules;
ALTER TABLE reservations DROP COLUMN buffer_min;
