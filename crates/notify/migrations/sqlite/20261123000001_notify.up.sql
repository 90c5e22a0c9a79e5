-- Messages that were handed over. Owner: notify. What they say is sealed, and gone once they are delivered.
CREATE TABLE notify_messages (
    id BLOB PRIMARY KEY,
    -- Whose it is, here and below: the tenant, or the nil id for what is nobody's, so that unique keys hold for both.
    lane BLOB NOT NULL,
    kind TEXT NOT NULL CONSTRAINT notify_messages_kind_check CHECK (length(kind) BETWEEN 1 AND 64),
    -- What channels choose by: the kind, or the type of the event that it is about.
    topic TEXT NOT NULL,
    -- Neither of both: it goes to the channels of the tenant.
    recipient_person BLOB,
    recipient_email_sealed BLOB,
    -- Two messages with the same digest say the same to the same.
    digest BLOB,
    locale TEXT,
    values_sealed BLOB,
    idempotency_key TEXT,
    state TEXT NOT NULL
        CONSTRAINT notify_messages_state_check CHECK (state IN ('accepted', 'planned', 'done')),
    -- When it is planned, while it is accepted.
    due_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    finished_at TEXT,
    CONSTRAINT notify_messages_finished_check CHECK ((state = 'done') = (finished_at IS NOT NULL)),
    -- What was said is not kept.
    CONSTRAINT notify_messages_kept_check
        CHECK (state <> 'done' OR (values_sealed IS NULL AND recipient_email_sealed IS NULL))
) STRICT;
CREATE UNIQUE INDEX notify_messages_lane_kind_idempotency_key_key ON notify_messages (lane, kind, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX notify_messages_due ON notify_messages (due_at) WHERE state = 'accepted';
CREATE INDEX notify_messages_planned ON notify_messages (created_at) WHERE state = 'planned';
CREATE INDEX notify_messages_digest ON notify_messages (digest, created_at) WHERE digest IS NOT NULL;
CREATE INDEX notify_messages_finished ON notify_messages (finished_at) WHERE finished_at IS NOT NULL;

-- One message to one destination, and what came of it: the log of deliveries. It never has what was said.
CREATE TABLE notify_deliveries (
    id BLOB PRIMARY KEY,
    lane BLOB NOT NULL,
    message_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    medium TEXT NOT NULL
        CONSTRAINT notify_deliveries_medium_check CHECK (medium IN
            ('email', 'sms', 'in_app', 'slack', 'mattermost', 'teams', 'discord', 'telegram', 'webhook')),
    channel_id BLOB,
    person_id BLOB,
    -- Names the destination without telling it: what budgets and suppressions go by.
    address_key BLOB NOT NULL,
    -- For people, with most of it hidden.
    destination TEXT NOT NULL,
    destination_sealed BLOB,
    state TEXT NOT NULL
        CONSTRAINT notify_deliveries_state_check CHECK (state IN ('pending', 'sent', 'failed', 'dropped')),
    -- Why it was dropped or failed.
    reason TEXT
        CONSTRAINT notify_deliveries_reason_check CHECK (reason IN
            ('no_address', 'unverified', 'muted', 'suppressed', 'budget', 'duplicate', 'quiet', 'expired', 'channel_gone',
             'channel_inactive', 'no_transport', 'unopenable', 'template', 'refused', 'bad_recipient', 'exhausted',
             'interrupted')),
    attempts INTEGER NOT NULL,
    -- Counts every attempt ever. Whoever writes an outcome names the attempt it is of, so that a late one is not written over a
    -- later one.
    claims INTEGER NOT NULL,
    due_at TEXT NOT NULL,
    -- While it is in the future, somebody is at it.
    lease_until TEXT,
    -- Since when nothing could be sent there at all.
    outage_since TEXT,
    last_error TEXT,
    last_status INTEGER,
    created_at TEXT NOT NULL,
    attempted_at TEXT,
    finished_at TEXT,
    CONSTRAINT notify_deliveries_finished_check CHECK ((state = 'pending') = (finished_at IS NULL)),
    CONSTRAINT notify_deliveries_kept_check CHECK (state = 'pending' OR destination_sealed IS NULL)
) STRICT;
CREATE INDEX notify_deliveries_message ON notify_deliveries (message_id);
CREATE INDEX notify_deliveries_list ON notify_deliveries (lane, created_at, id);
CREATE INDEX notify_deliveries_created ON notify_deliveries (created_at, id);
CREATE INDEX notify_deliveries_channel ON notify_deliveries (channel_id, created_at, id) WHERE channel_id IS NOT NULL;
CREATE INDEX notify_deliveries_person ON notify_deliveries (person_id) WHERE state = 'pending';
CREATE INDEX notify_deliveries_due ON notify_deliveries (due_at) WHERE state = 'pending';
CREATE INDEX notify_deliveries_budget ON notify_deliveries (address_key, created_at) WHERE state <> 'dropped';
CREATE INDEX notify_deliveries_finished ON notify_deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- What people find in the product.
CREATE TABLE notifications (
    id BLOB PRIMARY KEY,
    lane BLOB NOT NULL,
    person_id BLOB NOT NULL,
    -- Counts the person's notifications in the order in which they are committed: who has seen one has seen all before it.
    position INTEGER NOT NULL,
    category TEXT NOT NULL,
    severity TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    -- A path of the product.
    link TEXT,
    entity_type TEXT,
    entity_id TEXT,
    sender_id BLOB,
    created_at TEXT NOT NULL,
    read_at TEXT
) STRICT;
CREATE UNIQUE INDEX notifications_person_id_position_key ON notifications (person_id, position);
CREATE INDEX notifications_unread ON notifications (person_id, lane) WHERE read_at IS NULL;
CREATE INDEX notifications_created ON notifications (created_at);

-- Destinations that somebody has set up: of a tenant, or of a person, who takes theirs along to every tenant.
CREATE TABLE notification_channels (
    id BLOB PRIMARY KEY,
    lane BLOB NOT NULL,
    person_id BLOB,
    channel_type TEXT NOT NULL
        CONSTRAINT notification_channels_channel_type_check CHECK (channel_type IN
            ('email', 'slack', 'mattermost', 'teams', 'discord', 'telegram', 'webhook')),
    label TEXT NOT NULL,
    -- Sealed for this row.
    config_sealed BLOB NOT NULL,
    destination TEXT NOT NULL,
    -- Names the destination for suppressions and budgets: that of the address, where it is one.
    address_key BLOB NOT NULL,
    -- A JSON list: names of kinds and types of events, `alert.*`, `*`.
    events TEXT NOT NULL,
    severity_min TEXT NOT NULL,
    is_active INTEGER NOT NULL
        CONSTRAINT notification_channels_is_active_check CHECK (is_active IN (0, 1)),
    disabled_reason TEXT
        CONSTRAINT notification_channels_reason_check CHECK (disabled_reason IN ('by_hand', 'gone', 'failing')),
    failing_since TEXT,
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT notification_channels_active_check CHECK (is_active = (disabled_reason IS NULL)),
    CONSTRAINT notification_channels_owner_check
        CHECK ((person_id IS NOT NULL) = (lane = x'00000000000000000000000000000000'))
) STRICT;
CREATE INDEX notification_channels_lane ON notification_channels (lane, created_at, id);
CREATE INDEX notification_channels_person ON notification_channels (person_id, created_at, id) WHERE person_id IS NOT NULL;

-- What a tenant says instead of the product's own words.
CREATE TABLE notify_templates (
    lane BLOB NOT NULL,
    kind TEXT NOT NULL,
    locale TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    html TEXT,
    version INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    updated_by BLOB,
    CONSTRAINT notify_templates_pkey PRIMARY KEY (lane, kind, locale)
) STRICT;

-- Addresses that nothing is sent to: of a tenant, or of everybody under the nil id.
CREATE TABLE notify_suppressions (
    id BLOB PRIMARY KEY,
    lane BLOB NOT NULL,
    medium TEXT NOT NULL
        CONSTRAINT notify_suppressions_medium_check CHECK (medium IN ('email', 'sms')),
    address_key BLOB NOT NULL,
    destination TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT
) STRICT;
CREATE UNIQUE INDEX notify_suppressions_lane_medium_address_key_key ON notify_suppressions (lane, medium, address_key);
CREATE INDEX notify_suppressions_list ON notify_suppressions (lane, created_at, id);
CREATE INDEX notify_suppressions_expires ON notify_suppressions (expires_at) WHERE expires_at IS NOT NULL;

-- When and about what people are not to be disturbed, whatever tenant it is from.
CREATE TABLE notify_preferences (
    person_id BLOB PRIMARY KEY,
    -- Minutes after midnight, where the person is.
    quiet_from_min INTEGER
        CONSTRAINT notify_preferences_quiet_from_check CHECK (quiet_from_min BETWEEN 0 AND 1439),
    quiet_to_min INTEGER
        CONSTRAINT notify_preferences_quiet_to_check CHECK (quiet_to_min BETWEEN 0 AND 1439),
    -- A JSON list of categories.
    muted TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT notify_preferences_quiet_check CHECK ((quiet_from_min IS NULL) = (quiet_to_min IS NULL))
) STRICT;
