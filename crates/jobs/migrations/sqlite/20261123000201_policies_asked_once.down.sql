-- SQLite has no row-level security; the migration exists so that both engines have the same versions.
SELECT 1;
