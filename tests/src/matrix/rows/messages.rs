//! Webhooks, events, notifications and mails.

use serde_json::{Value, json};

use super::{Maker, id_of, made, newest};
use crate::{matrix::Organisation, text};

impl Maker<'_> {
    pub(super) async fn messages(&mut self, kind: &str, word: &str) -> Option<String> {
        let of = self.of;
        let admin = &of.administrator.client;
        let hook = json!({ "url": self.site.receiver.url("/") });
        let channel = json!({ "channel_type": "webhook", "label": word, "config": hook, "events": ["webhook.disabled"] });
        let id = match kind {
            "receiver" => self.site.receiver.url("/"),
            "event" => text(&newest(admin, "/v1/events", "id").await, "id").to_owned(),
            "webhook" => {
                let body = json!({ "url": self.site.receiver.url("/"), "description": word, "events": ["webhook.disabled"] });
                made(admin, "/webhooks", body).await
            }
            "webhook_delivery" => {
                let path = format!("/webhooks/{}/test", self.get("webhook").await);
                admin.post(&path, Value::Null).await.expect(202);
                id_of(&admin.post(&path, Value::Null).await.expect(202))
            }
            "notification" => {
                let body = json!({ "recipient_id": of.administrator.id, "title": word });
                made(admin, "/notifications", body).await
            }
            "notification_channel" => made(admin, "/notification-channels", channel).await,
            "own_channel" => made(admin, "/notification-channels/me", channel).await,
            "notification_delivery" => {
                let path = format!("/notification-channels/{}/test", self.get("notification_channel").await);
                id_of(&admin.post(&path, Value::Null).await.expect(202))
            }
            "own_channel_delivery" => {
                let path = format!("/notification-channels/me/{}/test", self.get("own_channel").await);
                admin.post(&path, Value::Null).await.expect(202);
                id_of(&admin.post(&path, Value::Null).await.expect(202))
            }
            "notification_suppression" => {
                made(admin, "/notification-suppressions", suppression(of, word)).await
            }
            // It is the platform's, whoever asks for it.
            "platform_suppression" => {
                made(&self.site.root, "/notification-suppressions/platform", suppression(of, word)).await
            }
            "mail" => {
                // Invitations are mailed.
                self.get("invitation").await;
                self.mail().await
            }
            _ => return None,
        };
        Some(id)
    }
}

fn suppression(of: &Organisation, word: &str) -> Value {
    json!({ "medium": "email", "address": of.address(word), "reason": word })
}
