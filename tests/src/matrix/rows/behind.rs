//! What no route makes, made behind the program's back.

use std::fs;

use super::Maker;
use crate::eventually;

impl Maker<'_> {
    /// Nobody gives what they have not, and an organisation has no way to have what it has just made up.
    pub(super) async fn hold(&self, permission: &str) {
        let place = &self.site.app.place;
        let id = |text: &str| place.id(text.parse().expect("an id"));
        place
            .sql(&format!(
                "INSERT INTO role_permissions (id, tenant_id, role_id, permission_id, effect, created_at)
                     VALUES ({}, {}, {}, {}, 'allow', {});",
                id(&self.site.fresh_id()),
                id(&self.of.id),
                id(&self.of.admin_role),
                id(permission),
                place.long_ago(),
            ))
            .await;
    }

    /// Nothing but schedules asks for a job by itself, and theirs are the platform's. Nobody works on its queue.
    pub(super) async fn job(&self, schedule: &str) -> String {
        let place = &self.site.app.place;
        let now = place.long_ago();
        let job = self.site.fresh_id();
        let id = |text: &str| place.id(text.parse().expect("an id"));
        let (own, tenant) = (id(&job), id(&self.of.id));
        place
            .sql(&format!(
                "INSERT INTO jobs (id, tenant_id, lane, queue, name, version, payload, state, run_at, attempt, attempts_max,
                     timeout_ms, key_limit, is_unique, beat, cancel_requested, errors, created_at, schedule_id, slot)
                 VALUES ({own}, {tenant}, {tenant}, 'matrix', 'matrix.job', 1, '{{}}', 'available', {now}, 0, 3,
                     60000, 1, FALSE, 0, FALSE, '[]', {now}, {}, {now});
                 INSERT INTO job_count_changes (queue, state, change) VALUES ('matrix', 'available', 1);",
                id(schedule),
            ))
            .await;
        job
    }

    /// The mail of the invitation: without a mail server, mails are written down.
    pub(super) async fn mail(&self) -> String {
        let folder = self.site.app.place.data().join("outbox");
        let taken = &self.site.mails;
        eventually("a mail of the organisation", async || {
            let names =
                fs::read_dir(&folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let is_its = |name: &String| {
                let mail = fs::read_to_string(folder.join(name)).unwrap_or_default();
                mail.contains(&self.of.word) && taken.lock().expect("no panic holds it").insert(name.clone())
            };
            names.filter(|name| name.ends_with(".eml")).find(is_its)
        })
        .await
        .trim_end_matches(".eml")
        .to_owned()
    }
}
