ALTER TABLE products
    ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('simple', name)) STORED;

CREATE INDEX products_words ON products USING gin (words);
