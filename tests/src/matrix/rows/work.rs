//! What was done, and what is to be done.

use serde_json::json;

use super::{Maker, made, newest};
use crate::text;

impl Maker<'_> {
    pub(super) async fn work(&mut self, kind: &str, word: &str) -> Option<String> {
        let admin = &self.of.administrator.client;
        let id = match kind {
            "audit_event" => text(&newest(admin, "/audit-events", "id").await, "id").to_owned(),
            "request" => text(&newest(admin, "/audit-events", "request_id").await, "request_id").to_owned(),
            "schedule" => {
                let body = json!({
                    "name": word, "task_name": "auth.sweep", "interval_seconds": 86_400, "enabled": false,
                });
                made(&self.site.root, "/scheduler/tasks", body).await
            }
            "job" => {
                let schedule = self.get("schedule").await;
                self.job(&schedule).await
            }
            _ => return None,
        };
        Some(id)
    }
}
