use stylobate_core::{AuditEvent, NotificationId, Page, PersonId, RequestContext, TenantId};
use stylobate_db::{Scope, Tx};
use tokio::sync::watch;

use super::{
    Notifier,
    error::{NO_NOTIFICATION, checked_line, invalid},
    prepare::person_lock,
};
use crate::{
    NewNotification, Notification, NotificationQuery, NotifierError,
    store::{
        self,
        notifications::{self, View},
    },
};

/// People find what is theirs whatever tenant they act for, so the rows are told apart by the person.
const SCOPE: Scope = Scope::Platform("a person's own notifications");

const TITLE_CHARS_MAX: usize = 200;
const BODY_CHARS_MAX: usize = 4_000;
const LINK_CHARS_MAX: usize = 1_000;
const ENTITY_CHARS_MAX: usize = 200;

/// The kind of what somebody writes by hand.
const BY_HAND: &str = "notification";

impl Notifier {
    /// Notifications of `person`, the newest first. Acting for a tenant they see that tenant's and nobody's; else all.
    ///
    /// # Errors
    /// [`NotifierError::Cursor`], and the database's own.
    pub async fn notifications(
        &self,
        person: PersonId,
        tenant: Option<TenantId>,
        query: &NotificationQuery,
    ) -> Result<Page<Notification>, NotifierError> {
        let mut tx = self.inner.db.begin_read(SCOPE).await?;
        let page = notifications::list(&mut tx, View { person, tenant }, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// How many of them are unread; counting ends at 1,000.
    ///
    /// # Errors
    /// The database's own.
    pub async fn unread_count(
        &self,
        person: PersonId,
        tenant: Option<TenantId>,
    ) -> Result<u32, NotifierError> {
        let mut tx = self.inner.db.begin_read(SCOPE).await?;
        let unread = notifications::unread(&mut tx, View { person, tenant }).await?;
        tx.rollback().await?;
        Ok(u32::try_from(unread).unwrap_or_default())
    }

    /// Marks one of the caller's notifications as read; again is no error and changes nothing.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`]; [`NotifierError::OwnerRequired`] when the caller is no person; the database's own.
    pub async fn read_notification(
        &self,
        context: &RequestContext,
        id: NotificationId,
    ) -> Result<Notification, NotifierError> {
        let (view, now) = (view_of(context)?, self.now());
        let context = context.clone();
        let read = async move |tx: &mut Tx| {
            let (found, is_news) = notifications::read(tx, view, id, now).await?.ok_or(NO_NOTIFICATION)?;
            if is_news {
                let event = AuditEvent::new(&context, "notification.read", "notification");
                tx.audit(event.on(id).in_tenant(found.tenant_id));
            }
            Ok::<_, NotifierError>(found)
        };
        self.inner.db.transact(SCOPE, read).await
    }

    /// Marks all of the caller's notifications as read, and returns how many were not.
    ///
    /// # Errors
    /// [`NotifierError::OwnerRequired`] when the caller is no person; the database's own.
    pub async fn read_all_notifications(&self, context: &RequestContext) -> Result<u64, NotifierError> {
        let (view, now) = (view_of(context)?, self.now());
        let context = context.clone();
        let read = async move |tx: &mut Tx| {
            let read = notifications::read_all(tx, view, now).await?;
            if read > 0 {
                let event = AuditEvent::new(&context, "notification.read_all", "notification");
                tx.audit(event.in_tenant(view.tenant).with("read", read));
            }
            Ok::<_, NotifierError>(read)
        };
        self.inner.db.transact(SCOPE, read).await
    }

    /// Writes a notification to somebody, in the caller's tenant. Whether that is a member of it is for the caller to know, and no
    /// budget holds: it is for people who may.
    ///
    /// # Errors
    /// [`NotifierError::Invalid`] with the field that is wrong (`title`, `body`, `link`, `entity_type`, `entity_id`,
    /// `recipient_id`); [`NotifierError::Directory`]; the database's own.
    pub async fn create_notification(
        &self,
        context: &RequestContext,
        new: NewNotification,
    ) -> Result<Notification, NotifierError> {
        checked(&new)?;
        let contact = self.inner.directory.contact(new.recipient).await;
        if contact.map_err(|error| NotifierError::Directory(Box::new(error)))?.is_none() {
            return Err(invalid("recipient_id", "is nobody"));
        }
        let now = self.now();
        let notification = Notification {
            id: NotificationId::new(now),
            tenant_id: context.principal.tenant,
            person_id: new.recipient,
            position: 0,
            category: new.category,
            severity: new.severity,
            kind: BY_HAND.to_owned(),
            title: new.title,
            body: new.body,
            link: new.link,
            entity_type: new.entity_type,
            entity_id: new.entity_id,
            sender_id: context.principal.person_id(),
            created_at: now,
            read_at: None,
        };
        let (live, context) = (self.inner.live.clone(), context.clone());
        let create = async move |tx: &mut Tx| {
            let person = notification.person_id;
            store::lock(tx, vec![person_lock(person)]).await?;
            notifications::insert(tx, &[&notification]).await?;
            let position = notifications::last_position(tx, person).await?;
            let live = live.clone();
            tx.on_commit(move || live.changed());
            let event = AuditEvent::new(&context, "notification.create", "notification");
            let event = event.on(notification.id).in_tenant(notification.tenant_id);
            tx.audit(event.with("recipient", person.to_string()));
            Ok::<_, NotifierError>(Notification { position, ..notification.clone() })
        };
        // The person's last position may be of another tenant.
        self.inner.db.transact(SCOPE, create).await
    }

    /// The position of the last notification of `person`, 0 when there is none: for those who hear of others by
    /// [`changes`](Self::changes) and read them by [`notifications_after`](Self::notifications_after).
    ///
    /// # Errors
    /// The database's own.
    pub async fn last_position(&self, person: PersonId) -> Result<i64, NotifierError> {
        self.inner.live.last_position(person).await
    }

    /// Notifications of `person` after `position`, the oldest first, at most 100.
    ///
    /// # Errors
    /// The database's own.
    pub async fn notifications_after(
        &self,
        person: PersonId,
        tenant: Option<TenantId>,
        position: i64,
    ) -> Result<Vec<Notification>, NotifierError> {
        self.inner.live.after(View { person, tenant }, position).await
    }

    /// Changes when there may be another notification of `person`, within a second. All who hear of whomever cost one look at the
    /// database. Call it before [`last_position`](Self::last_position), and read after each change until nothing more is found:
    /// nothing is missed then, and whoever is slow reads it later.
    #[must_use]
    pub fn changes(&self, person: PersonId) -> watch::Receiver<u64> {
        self.inner.live.changes(person)
    }
}

fn view_of(context: &RequestContext) -> Result<View, NotifierError> {
    let person = context.principal.person_id();
    let person = person.ok_or(NotifierError::OwnerRequired("notifications are of a person"))?;
    Ok(View { person, tenant: context.principal.tenant })
}

fn checked(new: &NewNotification) -> Result<(), NotifierError> {
    checked_line("title", &new.title, TITLE_CHARS_MAX)?;
    let is_unseen = |c: char| crate::plain::is_unseen(c) && c != '\n';
    if new.body.chars().count() > BODY_CHARS_MAX || new.body.chars().any(is_unseen) {
        return Err(invalid(
            "body",
            format!("has up to {BODY_CHARS_MAX} characters, and lines without control characters"),
        ));
    }
    if new.link.as_ref().is_some_and(|link| !is_path(link)) {
        return Err(invalid("link", "is no path of the product: `/` and what follows"));
    }
    for (field, text) in [("entity_type", &new.entity_type), ("entity_id", &new.entity_id)] {
        if text.as_ref().is_some_and(|text| !is_entity(text)) {
            return Err(invalid(
                field,
                format!("has 1 to {ENTITY_CHARS_MAX} characters, none of them a control character"),
            ));
        }
    }
    Ok(())
}

/// Whether `link` stays in the product wherever it is followed: one slash, then no second one, nor what browsers read as one.
pub(super) fn is_path(link: &str) -> bool {
    link.starts_with('/')
        && !link.starts_with("//")
        && link.chars().count() <= LINK_CHARS_MAX
        && !link.contains(|c: char| c == '\\' || c.is_whitespace() || crate::plain::is_unseen(c))
}

pub(super) fn is_entity(text: &str) -> bool {
    (1..=ENTITY_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(crate::plain::is_unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_product() {
        for link in ["/", "/invoices/7?tab=a#b", "/a//b", "/%2e%2e/x"] {
            assert!(is_path(link), "{link}");
        }
        let base = url::Url::parse("https://product.test/").unwrap();
        for link in [
            "",
            "a",
            "//evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "/\t/evil.test",
            "/\n/evil.test",
            " /a",
            "https://evil.test/",
            "javascript:alert(1)",
            "/\u{2028}a",
            "/ a",
            "data:text/html,x",
            "/\u{202e}a",
        ] {
            assert!(!is_path(link), "{link:?}");
        }
        for link in ["/", "/a//b", "/%2f%2fevil.test", "/..//evil.test/", "/.//evil.test"] {
            let followed = base.join(link).unwrap();
            assert!(!is_path(link) || followed.host_str() == Some("product.test"), "{link} {followed}");
        }
        assert!(!is_path(&format!("/{}", "a".repeat(1_000))));
    }
}
