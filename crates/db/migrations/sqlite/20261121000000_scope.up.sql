-- SQLite has no row-level security; the set exists so that both engines have the same versions.
SELECT 1;
