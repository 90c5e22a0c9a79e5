DROP INDEX notify_deliveries_waiting;
DROP INDEX notifications_lane;
DROP INDEX notify_messages_lane;
