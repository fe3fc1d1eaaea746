-- What a house says of its book, how long a table stays free after a party, and who may book it.

-- +goose Up
ALTER TABLE restaurants ADD COLUMN rules BLOB; -- protobuf: maitred.engine.v1.Rules; null = never set
ALTER TABLE reservations ADD COLUMN buffer_min INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reservations ADD COLUMN hold_until_ms INTEGER; -- Unix milliseconds, of what is or was held
ALTER TABLE tables ADD COLUMN channel INTEGER NOT NULL DEFAULT 0; -- engine.Channel
ALTER TABLE tables ADD COLUMN blocks TEXT NOT NULL DEFAULT '[]'; -- JSON: [[from, until], …] Unix seconds

-- +goose Down
ALTER TABLE restaurants DROP COLUMN rules;
ALTER TABLE reservations DROP COLUMN buffer_min;
ALTER TABLE reservations DROP COLUMN hold_until_ms;
ALTER TABLE tables DROP COLUMN channel;
ALTER TABLE tables DROP COLUMN blocks;
