-- Steps of the removal of a tenant, and the counting that ends it, go along these and not through the rows of all tenants. The first two
-- cost each message and each notification one entry; deliveries are found by `notify_deliveries_list`.
CREATE INDEX notify_messages_lane ON notify_messages (lane, id);
CREATE INDEX notifications_lane ON notifications (lane, id);
-- What waits to go through channels of tenants, which is little: nothing to people is in it.
CREATE INDEX notify_deliveries_waiting ON notify_deliveries (lane, id)
    WHERE state = 'pending' AND channel_id IS NOT NULL AND person_id IS NULL;
