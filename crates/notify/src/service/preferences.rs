use stylobate_core::{AuditEvent, PersonId, RequestContext};
use stylobate_db::{Scope, Tx};

use super::{Notifier, error::invalid};
use crate::{Category, NotifierError, Preferences, store::preferences};

const OWN: Scope = Scope::Platform("a person's own preferences");

impl Notifier {
    /// When and about what `person` is not to be disturbed.
    ///
    /// # Errors
    /// The database's own.
    pub async fn preferences(&self, person: PersonId) -> Result<Preferences, NotifierError> {
        let mut tx = self.inner.db.begin_read(OWN).await?;
        let found = preferences::find(&mut tx, person).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// Sets the caller's own.
    ///
    /// # Errors
    /// [`NotifierError::Invalid`] with the field `quiet_hours`, or `muted` when it names [`Category::Security`]; [`NotifierError::OwnerRequired`]; the database's own.
    pub async fn set_preferences(
        &self,
        context: &RequestContext,
        mut new: Preferences,
    ) -> Result<Preferences, NotifierError> {
        let person = context.principal.person_id();
        let person = person.ok_or(NotifierError::OwnerRequired("preferences are of a person"))?;
        if new.quiet_hours.is_some_and(|quiet| !quiet.is_sound()) {
            return Err(invalid("quiet_hours", "is in minutes after midnight, 0 to 1439"));
        }
        if new.muted.contains(&Category::Security) {
            return Err(invalid("muted", "security cannot be muted"));
        }
        new.muted.sort_unstable();
        new.muted.dedup();
        let (now, context) = (self.now(), context.clone());
        let set = async move |tx: &mut Tx| {
            let before = preferences::find(tx, person).await?;
            preferences::put(tx, person, &new, now).await?;
            let event = AuditEvent::new(&context, "notification_preferences.update", "person").on(person);
            tx.audit(event.change(Some(&before), Some(&new)));
            Ok::<_, NotifierError>(new.clone())
        };
        self.inner.db.transact(OWN, set).await
    }
}
