-- Erasures under way are found without reading every account. accounts.erased: 0 = no, 1 = pending (restaurants may still know
-- the guest), 2 = complete.

-- +goose Up
CREATE INDEX accounts_erasing ON accounts (n) WHERE erased = 1;

-- +goose Down
DROP INDEX accounts_erasing;
