-- As the engine folds it, for what was not made anew yet.
DROP INDEX orgs_to_be_folded;
UPDATE orgs SET search_key = lower(name || ' ' || code) WHERE search_key = '';
