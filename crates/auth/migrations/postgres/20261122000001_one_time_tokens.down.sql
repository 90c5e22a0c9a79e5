DROP TABLE flow_counters;
DROP TABLE one_time_tokens;
