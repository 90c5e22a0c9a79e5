DROP TABLE shop_parcels;
DROP TABLE shop_orders;
