DROP TABLE casbin_rules;
