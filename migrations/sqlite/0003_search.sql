-- Search of restaurants. The projector fills it with folded text (persistence.Fold); a store that has restaurants already is
-- filled when it is opened.

-- +goose Up
CREATE TABLE search (
  n         INTEGER PRIMARY KEY, -- names.n
  name      TEXT NOT NULL,       -- folded
  city      TEXT NOT NULL,       -- folded
  cuisine   TEXT NOT NULL,       -- folded
  words     TEXT NOT NULL        -- all the words, with a blank before and after each
) STRICT;
CREATE INDEX search_name ON search (name, n);
CREATE INDEX search_city ON search (city, cuisine, name, n);
CREATE INDEX search_cuisine ON search (cuisine, name, n);

-- Words, whole and by their beginnings. It keeps no text.
CREATE VIRTUAL TABLE search_words USING fts5(
  name, cuisine, city, text, content='', contentless_delete=1, prefix='2 3', tokenize="unicode61 remove_diacritics 0"
);

-- Every word that was ever there, by its trigrams: for words that are misspelt.
CREATE TABLE terms (
  n    INTEGER PRIMARY KEY,
  term TEXT NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE term_trigrams USING fts5(term, content='', tokenize='trigram', detail=none, columnsize=0);

CREATE VIRTUAL TABLE places USING rtree(n, min_lat, max_lat, min_lon, max_lon);

-- +goose Down
DROP TABLE places;
DROP TABLE term_trigrams;
DROP TABLE terms;
DROP TABLE search_words;
DROP TABLE search;
