DROP TABLE event_dead_letters;
DROP TABLE event_holds;
DROP TABLE event_held;
DROP TABLE event_deliveries;
DROP TABLE event_subscriptions;
DROP TABLE event_subscribers;
DROP TABLE events;
DROP TABLE event_aggregates;
