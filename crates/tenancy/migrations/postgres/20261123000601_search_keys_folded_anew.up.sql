-- lower() folds as the database's locale says: what a search looks at is made anew by the program. An empty one is in no other row.
UPDATE orgs SET search_key = '' WHERE octet_length(search_key) <> char_length(search_key);
-- What is left to be made, asked at each start.
CREATE INDEX orgs_to_be_folded ON orgs (id) WHERE search_key = '';
