-- lower() folded no more than ASCII: what a search looks at is made anew by the program, which knows the rest. An empty one is in no other row.
UPDATE orgs SET search_key = '' WHERE length(CAST(search_key AS BLOB)) <> length(search_key);
-- What is left to be made, asked at each start.
CREATE INDEX orgs_to_be_folded ON orgs (id) WHERE search_key = '';
