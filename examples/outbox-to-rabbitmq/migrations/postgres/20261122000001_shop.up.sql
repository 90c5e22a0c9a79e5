CREATE TABLE shop_orders (
    number     bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT shop_orders_pkey PRIMARY KEY,
    article    text   NOT NULL
);

-- What the warehouse has sent. An order that were sent twice would violate the key.
CREATE TABLE shop_parcels (
    order_number bigint NOT NULL CONSTRAINT shop_parcels_pkey PRIMARY KEY
);
