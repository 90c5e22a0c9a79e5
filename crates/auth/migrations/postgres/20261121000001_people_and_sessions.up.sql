-- People, what they prove themselves with, and their sessions. These tables are read before any tenant is known, so
-- they are not under row-level security; what a tenant owns is the membership, which lives elsewhere.

CREATE TABLE people (
    id uuid CONSTRAINT people_pkey PRIMARY KEY,
    username text,
    -- The folded form (NFKC, lower case) is what must be unique and what sign-in looks for: `Ada` and `ada` are one.
    username_key text COLLATE "C",
    email text NOT NULL,
    email_key text COLLATE "C" NOT NULL,
    email_verified boolean NOT NULL,
    status text NOT NULL,
    must_change_password boolean NOT NULL,
    -- Counts up whenever everything issued before must stop working: a new password, a disabled account.
    credential_epoch bigint NOT NULL,
    -- Counts up with every change: an update that names an older one is refused instead of overwriting.
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT people_username_key_key UNIQUE (username_key),
    CONSTRAINT people_email_key_key UNIQUE (email_key),
    CONSTRAINT people_status_known CHECK (status IN ('active', 'disabled')),
    -- A username and its folded form come and go together.
    CONSTRAINT people_username_folded CHECK ((username IS NULL) = (username_key IS NULL)),
    -- Only e-mail addresses contain an at sign, so that one login field names at most one person.
    CONSTRAINT people_username_no_at CHECK (username_key IS NULL OR position('@' IN username_key) = 0)
);
-- Lists run in order of creation.
CREATE INDEX people_created_at_id ON people (created_at, id);

CREATE TABLE credentials (
    person_id uuid NOT NULL,
    kind text NOT NULL,
    -- A PHC string (argon2id); never anything that lets the password be read.
    hash text NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT credentials_pkey PRIMARY KEY (person_id, kind),
    CONSTRAINT credentials_person_exists FOREIGN KEY (person_id) REFERENCES people (id) ON DELETE CASCADE,
    CONSTRAINT credentials_kind_known CHECK (kind IN ('password'))
);

CREATE TABLE sessions (
    id uuid CONSTRAINT sessions_pkey PRIMARY KEY,
    person_id uuid NOT NULL,
    tenant_id uuid,
    -- Only for sessions that a cookie carries: the digest of its secret. The secret itself is stored nowhere.
    token_hash bytea,
    -- The person's epoch when the session began; a session of an older epoch is over.
    credential_epoch bigint NOT NULL,
    -- Authentication method references (RFC 8176), separated by blanks.
    amr text NOT NULL,
    auth_time timestamptz NOT NULL,
    address text,
    user_agent text,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    -- Null for sessions that do not end by idling: those of refresh tokens live by their absolute limit alone.
    idle_expires_at timestamptz,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text,
    CONSTRAINT sessions_person_exists FOREIGN KEY (person_id) REFERENCES people (id) ON DELETE CASCADE,
    CONSTRAINT sessions_token_hash_key UNIQUE (token_hash),
    -- Whoever reads an ended session also learns why it ended.
    CONSTRAINT sessions_end_has_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
-- A person's own sessions, oldest first: the list, and which one makes room when the limit is reached.
CREATE INDEX sessions_person_id_created_at ON sessions (person_id, created_at, id);
-- What the sweep removes.
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- The refresh tokens of one session. There is exactly one row per session and one live token per row, so a family
-- cannot fork; a rotation replaces the digest only while it is still the one that was presented.
CREATE TABLE refresh_families (
    session_id uuid CONSTRAINT refresh_families_pkey PRIMARY KEY,
    generation bigint NOT NULL,
    current_hash bytea NOT NULL,
    rotated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT refresh_families_session_exists FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
);

-- What access tokens are checked against: rows outlive the session or person they name, so there is no foreign key.
CREATE TABLE revocations (
    kind text NOT NULL,
    id uuid NOT NULL,
    -- Of a subject: tokens of an earlier credential epoch are refused. A session is over as a whole.
    epoch bigint,
    created_at timestamptz NOT NULL,
    -- When the last token that it concerns has run out.
    expires_at timestamptz NOT NULL,
    CONSTRAINT revocations_pkey PRIMARY KEY (kind, id),
    CONSTRAINT revocations_kind_known CHECK (kind IN ('session', 'subject')),
    CONSTRAINT revocations_epoch_of_subject CHECK ((kind = 'subject') = (epoch IS NOT NULL))
);
-- Every process re-reads the latest rows twice a second.
CREATE INDEX revocations_created_at ON revocations (created_at);
CREATE INDEX revocations_expires_at ON revocations (expires_at);

-- Failed logins, by account and by address.
CREATE TABLE login_counters (
    kind text NOT NULL,
    -- For accounts the person's id, or a keyed digest of a name nobody has; for addresses their bytes. Never a name.
    key bytea NOT NULL,
    failures bigint NOT NULL,
    window_started_at timestamptz NOT NULL,
    locked_until timestamptz,
    expires_at timestamptz NOT NULL,
    CONSTRAINT login_counters_pkey PRIMARY KEY (kind, key),
    CONSTRAINT login_counters_kind_known CHECK (kind IN ('account', 'address')),
    CONSTRAINT login_counters_failures_counted CHECK (failures >= 0)
);
CREATE INDEX login_counters_expires_at ON login_counters (expires_at);

-- The one-time link that makes the first administrator.
CREATE TABLE setup_tokens (
    -- Always 1: there is at most one open link.
    id bigint CONSTRAINT setup_tokens_pkey PRIMARY KEY,
    token_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT setup_tokens_single CHECK (id = 1)
);
