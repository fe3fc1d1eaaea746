-- Words that no restaurant has any more leave terms. Those that had stayed go.

-- +goose Up
DELETE FROM terms t WHERE NOT EXISTS (SELECT 1 FROM ts_stat('SELECT words_ranked FROM restaurants') s WHERE s.word = t.term);

-- +goose Down
SELECT 1;
