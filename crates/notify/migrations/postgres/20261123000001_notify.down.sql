DROP TABLE notify_preferences;
DROP TABLE notify_suppressions;
DROP TABLE notify_templates;
DROP TABLE notification_channels;
DROP TABLE notifications;
DROP TABLE notify_deliveries;
DROP TABLE notify_messages;
