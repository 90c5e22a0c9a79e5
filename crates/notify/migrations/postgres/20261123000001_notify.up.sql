-- Messages that were handed over. Owner: notify. What they say is sealed, and gone once they are delivered.
CREATE TABLE notify_messages (
    id uuid PRIMARY KEY,
    -- Whose it is, here and below: the tenant, or the nil id for what is nobody's, so that unique keys hold for both.
    lane uuid NOT NULL,
    kind text COLLATE "C" NOT NULL CONSTRAINT notify_messages_kind_check CHECK (length(kind) BETWEEN 1 AND 64),
    -- What channels choose by: the kind, or the type of the event that it is about.
    topic text COLLATE "C" NOT NULL,
    -- Neither of both: it goes to the channels of the tenant.
    recipient_person uuid,
    recipient_email_sealed bytea,
    -- Two messages with the same digest say the same to the same.
    digest bytea,
    locale text COLLATE "C",
    values_sealed bytea,
    idempotency_key text COLLATE "C",
    state text COLLATE "C" NOT NULL
        CONSTRAINT notify_messages_state_check CHECK (state IN ('accepted', 'planned', 'done')),
    -- When it is planned, while it is accepted.
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT notify_messages_finished_check CHECK ((state = 'done') = (finished_at IS NOT NULL)),
    -- What was said is not kept.
    CONSTRAINT notify_messages_kept_check
        CHECK (state <> 'done' OR (values_sealed IS NULL AND recipient_email_sealed IS NULL))
);
CREATE UNIQUE INDEX notify_messages_lane_kind_idempotency_key_key ON notify_messages (lane, kind, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX notify_messages_due ON notify_messages (due_at) WHERE state = 'accepted';
CREATE INDEX notify_messages_planned ON notify_messages (created_at) WHERE state = 'planned';
CREATE INDEX notify_messages_digest ON notify_messages (digest, created_at) WHERE digest IS NOT NULL;
CREATE INDEX notify_messages_finished ON notify_messages (finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE notify_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE notify_messages FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON notify_messages
    USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));

-- One message to one destination, and what came of it: the log of deliveries. It never has what was said.
CREATE TABLE notify_deliveries (
    id uuid PRIMARY KEY,
    lane uuid NOT NULL,
    message_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    medium text COLLATE "C" NOT NULL
        CONSTRAINT notify_deliveries_medium_check CHECK (medium IN
            ('email', 'sms', 'in_app', 'slack', 'mattermost', 'teams', 'discord', 'telegram', 'webhook')),
    channel_id uuid,
    person_id uuid,
    -- Names the destination without telling it: what budgets and suppressions go by.
    address_key bytea NOT NULL,
    -- For people, with most of it hidden.
    destination text NOT NULL,
    destination_sealed bytea,
    state text COLLATE "C" NOT NULL
        CONSTRAINT notify_deliveries_state_check CHECK (state IN ('pending', 'sent', 'failed', 'dropped')),
    -- Why it was dropped or failed.
    reason text COLLATE "C"
        CONSTRAINT notify_deliveries_reason_check CHECK (reason IN
            ('no_address', 'unverified', 'muted', 'suppressed', 'budget', 'duplicate', 'quiet', 'expired', 'channel_gone',
             'channel_inactive', 'no_transport', 'unopenable', 'template', 'refused', 'bad_recipient', 'exhausted',
             'interrupted')),
    attempts bigint NOT NULL,
    -- Counts every attempt ever. Whoever writes an outcome names the attempt it is of, so that a late one is not written over a
    -- later one.
    claims bigint NOT NULL,
    due_at timestamptz NOT NULL,
    -- While it is in the future, somebody is at it.
    lease_until timestamptz,
    -- Since when nothing could be sent there at all.
    outage_since timestamptz,
    last_error text COLLATE "C",
    last_status bigint,
    created_at timestamptz NOT NULL,
    attempted_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT notify_deliveries_finished_check CHECK ((state = 'pending') = (finished_at IS NULL)),
    CONSTRAINT notify_deliveries_kept_check CHECK (state = 'pending' OR destination_sealed IS NULL)
);
CREATE INDEX notify_deliveries_message ON notify_deliveries (message_id);
CREATE INDEX notify_deliveries_list ON notify_deliveries (lane, created_at, id);
CREATE INDEX notify_deliveries_created ON notify_deliveries (created_at, id);
CREATE INDEX notify_deliveries_channel ON notify_deliveries (channel_id, created_at, id) WHERE channel_id IS NOT NULL;
CREATE INDEX notify_deliveries_person ON notify_deliveries (person_id) WHERE state = 'pending';
CREATE INDEX notify_deliveries_due ON notify_deliveries (due_at) WHERE state = 'pending';
CREATE INDEX notify_deliveries_budget ON notify_deliveries (address_key, created_at) WHERE state <> 'dropped';
CREATE INDEX notify_deliveries_finished ON notify_deliveries (finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE notify_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE notify_deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON notify_deliveries
    USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));

-- What people find in the product.
CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    lane uuid NOT NULL,
    person_id uuid NOT NULL,
    -- Counts the person's notifications in the order in which they are committed: who has seen one has seen all before it.
    position bigint NOT NULL,
    category text COLLATE "C" NOT NULL,
    severity text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    -- A path of the product.
    link text,
    entity_type text,
    entity_id text,
    sender_id uuid,
    created_at timestamptz NOT NULL,
    read_at timestamptz
);
CREATE UNIQUE INDEX notifications_person_id_position_key ON notifications (person_id, position);
CREATE INDEX notifications_unread ON notifications (person_id, lane) WHERE read_at IS NULL;
CREATE INDEX notifications_created ON notifications (created_at);

ALTER TABLE notifications ENABLE ROW LEVEL SECURITY;
ALTER TABLE notifications FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON notifications USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));

-- Destinations that somebody has set up: of a tenant, or of a person, who takes theirs along to every tenant.
CREATE TABLE notification_channels (
    id uuid PRIMARY KEY,
    lane uuid NOT NULL,
    person_id uuid,
    channel_type text COLLATE "C" NOT NULL
        CONSTRAINT notification_channels_channel_type_check CHECK (channel_type IN
            ('email', 'slack', 'mattermost', 'teams', 'discord', 'telegram', 'webhook')),
    label text NOT NULL,
    -- Sealed for this row.
    config_sealed bytea NOT NULL,
    destination text NOT NULL,
    -- Names the destination for suppressions and budgets: that of the address, where it is one.
    address_key bytea NOT NULL,
    -- A JSON list: names of kinds and types of events, `alert.*`, `*`.
    events text NOT NULL,
    severity_min text COLLATE "C" NOT NULL,
    is_active boolean NOT NULL,
    disabled_reason text COLLATE "C"
        CONSTRAINT notification_channels_reason_check CHECK (disabled_reason IN ('by_hand', 'gone', 'failing')),
    failing_since timestamptz,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT notification_channels_active_check CHECK (is_active = (disabled_reason IS NULL)),
    CONSTRAINT notification_channels_owner_check
        CHECK ((person_id IS NOT NULL) = (lane = '00000000-0000-0000-0000-000000000000'))
);
CREATE INDEX notification_channels_lane ON notification_channels (lane, created_at, id);
CREATE INDEX notification_channels_person ON notification_channels (person_id, created_at, id) WHERE person_id IS NOT NULL;

ALTER TABLE notification_channels ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_channels FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON notification_channels
    USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));

-- What a tenant says instead of the product's own words.
CREATE TABLE notify_templates (
    lane uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    locale text COLLATE "C" NOT NULL,
    subject text NOT NULL,
    text text NOT NULL,
    html text,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by uuid,
    CONSTRAINT notify_templates_pkey PRIMARY KEY (lane, kind, locale)
);

ALTER TABLE notify_templates ENABLE ROW LEVEL SECURITY;
ALTER TABLE notify_templates FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON notify_templates USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));

-- Addresses that nothing is sent to: of a tenant, or of everybody under the nil id.
CREATE TABLE notify_suppressions (
    id uuid PRIMARY KEY,
    lane uuid NOT NULL,
    medium text COLLATE "C" NOT NULL
        CONSTRAINT notify_suppressions_medium_check CHECK (medium IN ('email', 'sms')),
    address_key bytea NOT NULL,
    destination text NOT NULL,
    reason text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz
);
CREATE UNIQUE INDEX notify_suppressions_lane_medium_address_key_key ON notify_suppressions (lane, medium, address_key);
CREATE INDEX notify_suppressions_list ON notify_suppressions (lane, created_at, id);
CREATE INDEX notify_suppressions_expires ON notify_suppressions (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE notify_suppressions ENABLE ROW LEVEL SECURITY;
ALTER TABLE notify_suppressions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON notify_suppressions
    USING (stylobate_may_see(lane)) WITH CHECK (stylobate_may_see(lane));

-- When and about what people are not to be disturbed, whatever tenant it is from.
CREATE TABLE notify_preferences (
    person_id uuid PRIMARY KEY,
    -- Minutes after midnight, where the person is.
    quiet_from_min bigint
        CONSTRAINT notify_preferences_quiet_from_check CHECK (quiet_from_min BETWEEN 0 AND 1439),
    quiet_to_min bigint
        CONSTRAINT notify_preferences_quiet_to_check CHECK (quiet_to_min BETWEEN 0 AND 1439),
    -- A JSON list of categories.
    muted text NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT notify_preferences_quiet_check CHECK ((quiet_from_min IS NULL) = (quiet_to_min IS NULL))
);
