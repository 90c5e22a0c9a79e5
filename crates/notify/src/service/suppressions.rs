use chrono::{DateTime, Datelike as _, Utc};
use stylobate_core::{AuditEvent, Page, PageLimit, RequestContext, SuppressionId};
use stylobate_db::Tx;

use super::{
    Notifier,
    error::{NO_SUPPRESSION, checked_line, invalid},
    scope,
};
use crate::{
    EmailAddress, Medium, NotifierError, PhoneNumber, Suppression, mask,
    policy::dedup::address_key,
    store::{lane, suppressions},
};

const REASON_CHARS_MAX: usize = 200;
/// Times are compared as text, which holds for years of four digits.
const YEAR_MAX: i32 = 9_999;

impl Notifier {
    /// Addresses that the caller's tenant sends nothing to, the newest first. Without a tenant, those that nobody sends to.
    ///
    /// # Errors
    /// [`NotifierError::Cursor`], and the database's own.
    pub async fn suppressions(
        &self,
        context: &RequestContext,
        limit: PageLimit,
        cursor: Option<&str>,
    ) -> Result<Page<Suppression>, NotifierError> {
        let scope = scope(&context.principal, "list suppressions");
        let mut tx = self.inner.db.begin_read(scope).await?;
        let page = suppressions::list(&mut tx, scope, limit, cursor).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Sends nothing to an address any more: for the caller's tenant, or for everybody without one. One that is there already has
    /// the new reason and end.
    ///
    /// # Errors
    /// [`NotifierError::Invalid`] with the field that is wrong (`medium`, `address`, `reason`, `expires_at`); the database's own.
    pub async fn suppress(
        &self,
        context: &RequestContext,
        medium: Medium,
        address: &str,
        reason: &str,
        until: Option<DateTime<Utc>>,
    ) -> Result<Suppression, NotifierError> {
        let now = self.now();
        checked_line("reason", reason, REASON_CHARS_MAX)?;
        if until.is_some_and(|until| until <= now || until.year() > YEAR_MAX) {
            return Err(invalid("expires_at", "is not between now and the year 9999"));
        }
        let (address, destination) = match medium {
            Medium::Email => {
                let parsed =
                    EmailAddress::parse(address).map_err(|error| invalid("address", error.to_string()))?;
                (parsed.as_str().to_owned(), parsed.masked())
            }
            Medium::Sms => {
                let number: PhoneNumber =
                    address.parse().map_err(|_| invalid("address", "is no phone number"))?;
                (number.as_str().to_owned(), mask::phone(number.as_str()))
            }
            _ => return Err(invalid("medium", "is not `email` or `sms`")),
        };
        let tenant = context.principal.tenant;
        let mut new = Suppression {
            id: SuppressionId::new(now),
            tenant_id: tenant,
            medium,
            destination,
            reason: reason.to_owned(),
            created_at: now,
            expires_at: until,
        };
        let key = address_key(medium.as_str(), &address);
        let context = context.clone();
        let scope = scope(&context.principal, "add a suppression");
        let add = async move |tx: &mut Tx| {
            new.id = suppressions::put(tx, lane(tenant), key.clone(), &new).await?;
            let event = AuditEvent::new(&context, "suppression.create", "suppression").on(new.id);
            tx.audit(event.in_tenant(tenant).with("destination", new.destination.clone()));
            Ok::<_, NotifierError>(new.clone())
        };
        self.inner.db.transact(scope, add).await
    }

    /// Sends to an address again.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`], and the database's own.
    pub async fn unsuppress(&self, context: &RequestContext, id: SuppressionId) -> Result<(), NotifierError> {
        let context = context.clone();
        let scope = scope(&context.principal, "remove a suppression");
        let remove = async move |tx: &mut Tx| {
            if !suppressions::delete(tx, scope, id).await? {
                return Err(NO_SUPPRESSION);
            }
            let event = AuditEvent::new(&context, "suppression.delete", "suppression").on(id);
            tx.audit(event.in_tenant(scope.tenant()));
            Ok(())
        };
        self.inner.db.transact(scope, remove).await
    }
}
