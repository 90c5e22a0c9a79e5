CREATE TABLE shop_orders (
    number  INTEGER NOT NULL CONSTRAINT shop_orders_pkey PRIMARY KEY AUTOINCREMENT,
    article TEXT    NOT NULL
) STRICT;

-- What the warehouse has sent. An order that were sent twice would violate the key.
CREATE TABLE shop_parcels (
    order_number INTEGER NOT NULL CONSTRAINT shop_parcels_pkey PRIMARY KEY
) STRICT;
