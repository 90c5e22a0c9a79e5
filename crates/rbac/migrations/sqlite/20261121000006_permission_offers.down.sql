DROP TABLE permission_offers;
