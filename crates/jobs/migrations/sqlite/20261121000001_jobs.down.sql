DROP TABLE job_count_changes;
DROP TABLE job_counts;
DROP TABLE paused_queues;
DROP TABLE jobs;
