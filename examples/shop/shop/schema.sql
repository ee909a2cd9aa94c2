-- Run at every start, by every worker: each statement must do nothing the second time.
CREATE TABLE IF NOT EXISTS product (
  id          INTEGER PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL,
  cents       INTEGER NOT NULL CHECK (cents > 0)
);
CREATE TABLE IF NOT EXISTS review (
  id         INTEGER PRIMARY KEY,
  product_id INTEGER NOT NULL REFERENCES product (id),
  author     TEXT NOT NULL,
  text       TEXT NOT NULL,
  created    TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS review_product ON review (product_id);
INSERT OR IGNORE INTO product (id, name, description, cents) VALUES
  (1, 'Teapot', 'Short and stout, with a lid that stays on.', 2450),
  (2, 'Cup', 'Holds what the teapot pours.', 890),
  (3, 'Tea', 'One hundred grams of leaves & nothing else.', 1290);
