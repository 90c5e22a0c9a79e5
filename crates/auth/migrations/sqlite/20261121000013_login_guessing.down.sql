CREATE TABLE login_counters_without_parts (
    kind TEXT NOT NULL,
    -- For accounts the person's id, or a keyed digest of a name nobody has; for addresses their bytes. Never a name.
    key BLOB NOT NULL,
    failures INTEGER NOT NULL,
    window_started_at TEXT NOT NULL,
    locked_until TEXT,
    expires_at TEXT NOT NULL,
    CONSTRAINT login_counters_pkey PRIMARY KEY (kind, key),
    CONSTRAINT login_counters_kind_known CHECK (kind IN ('account', 'address')),
    CONSTRAINT login_counters_failures_counted CHECK (failures >= 0)
) STRICT;
INSERT INTO login_counters_without_parts (kind, key, failures, window_started_at, locked_until, expires_at)
    SELECT kind, key, failures, window_started_at, locked_until, expires_at FROM login_counters
    WHERE kind IN ('account', 'address');
DROP TABLE login_counters;
ALTER TABLE login_counters_without_parts RENAME TO login_counters;
CREATE INDEX login_counters_expires_at ON login_counters (expires_at);
