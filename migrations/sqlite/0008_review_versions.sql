-- A copy of the store in PostgreSQL shows other teams the version of the restaurant with each review.

-- +goose Up
ALTER TABLE reviews ADD COLUMN version INTEGER; -- null in rows of before

-- +goose Down
ALTER TABLE reviews DROP COLUMN version;
