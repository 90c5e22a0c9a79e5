-- Failed logins are counted by client and by known device as well. SQLite changes no constraint in place.
CREATE TABLE login_counters_with_parts (
    kind TEXT NOT NULL,
    -- For accounts and all their devices the person's id, or a keyed digest of a name nobody has; for clients and devices
    -- of an account the same, then what tells them apart; for addresses their bytes. Never a name.
    key BLOB NOT NULL,
    -- The account that a pair or a device belongs to, as in the key of its own row: an unlock removes all of them.
    account BLOB,
    failures INTEGER NOT NULL,
    window_started_at TEXT NOT NULL,
    locked_until TEXT,
    expires_at TEXT NOT NULL,
    CONSTRAINT login_counters_pkey PRIMARY KEY (kind, key),
    CONSTRAINT login_counters_kind_known CHECK (kind IN ('account', 'pair', 'address', 'device', 'devices')),
    CONSTRAINT login_counters_account_of_part CHECK ((kind IN ('pair', 'device')) = (account IS NOT NULL)),
    CONSTRAINT login_counters_failures_counted CHECK (failures >= 0)
) STRICT;
INSERT INTO login_counters_with_parts (kind, key, failures, window_started_at, locked_until, expires_at)
    SELECT kind, key, failures, window_started_at, locked_until, expires_at FROM login_counters;
DROP TABLE login_counters;
ALTER TABLE login_counters_with_parts RENAME TO login_counters;
CREATE INDEX login_counters_expires_at ON login_counters (expires_at);
CREATE INDEX login_counters_account ON login_counters (account) WHERE account IS NOT NULL;
