-- The words of a restaurant have its city and cuisine as one word each. A store is filled anew when it is opened.

-- +goose Up
DELETE FROM search_words;
DELETE FROM search;

-- +goose Down
DELETE FROM search_words;
DELETE FROM search;
