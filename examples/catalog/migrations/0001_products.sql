CREATE TABLE products (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku text NOT NULL UNIQUE,
    name text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents >= 0),
    tags text[] NOT NULL DEFAULT '{}',
    added timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE editors (
    name text PRIMARY KEY,
    secret text NOT NULL
);
