-- A review has an id of its own: it must not name its reservation.

-- +goose Up
ALTER TABLE reviews ADD COLUMN id ANY; -- own part, as in reservations; null = that of the reservation, in rows of before

-- +goose Down
ALTER TABLE reviews DROP COLUMN id;
