-- What each consumer of a broker has heard, so that an event that comes again does nothing again. A row is written in the
-- transaction of what the event caused, and pruned when no copy of the event can be under way any more.
CREATE TABLE event_inbox (
    consumer    TEXT NOT NULL,
    event_id    BLOB NOT NULL,
    received_at TEXT NOT NULL,
    CONSTRAINT event_inbox_pkey PRIMARY KEY (consumer, event_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_inbox_received_at_idx ON event_inbox (received_at);
