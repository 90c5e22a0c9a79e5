DROP TABLE org_removals;
