use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stylobate_core::{AuditEvent, RequestContext, ServiceId, TenantId};
use stylobate_db::Tx;

use super::{
    ServiceAccount, ServiceAccountError, ServiceAccountProblem, ServiceAccounts, account::tell_account, store,
};

/// What a service account may do at one audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceGrant {
    /// Whom it may call: what the receiver expects as `aud`, often its address. 1 to 255 printable ASCII characters without
    /// blanks, `"` and `\`, compared character by character.
    pub audience: String,
    /// What for: names that mean something to the receiver, or patterns that end in `*` after a `.` or `:`; `*` is all. Spelled as
    /// scopes are (RFC 6749 §3.3), of 1 to 128 characters. At this installation they are permissions, and narrow what the
    /// account's roles allow.
    pub operations: Vec<String>,
}

const AUDIENCE_CHARS_MAX: usize = 255;
const OPERATION_CHARS_MAX: usize = 128;
/// How many audiences an account has.
const AUDIENCES_MAX: usize = 50;
/// How many operations it has at one.
const OPERATIONS_MAX: usize = 100;
/// How long all operations at one audience may be together: in base64url, and with everything else, they fit a token of 8 KiB.
const OPERATIONS_CHARS_MAX: usize = 4_000;

impl ServiceAccounts {
    /// What an account of `tenant` may do where, sorted.
    ///
    /// # Errors
    /// [`ServiceAccountError::NotFound`], [`ServiceAccountError::Db`].
    pub async fn grants(
        &self,
        tenant: TenantId,
        id: ServiceId,
    ) -> Result<Vec<ServiceGrant>, ServiceAccountError> {
        let mut conn = self.parts().db.read().await?;
        let account = store::find(&mut conn, tenant, id).await?.ok_or(ServiceAccountError::NotFound)?;
        Ok(store::grants(&mut conn, account.id).await?)
    }

    /// Says what an account of `tenant` may do where, instead of what it might before. Its tokens so far are over within a second
    /// at this installation, and when they expire elsewhere. What is said twice counts once.
    ///
    /// # Errors
    /// [`ServiceAccountError::Invalid`], [`ServiceAccountError::NotFound`], [`ServiceAccountError::Db`].
    pub async fn set_grants(
        &self,
        tx: &mut Tx,
        ctx: &RequestContext,
        (tenant, id): (TenantId, ServiceId),
        grants: &[ServiceGrant],
    ) -> Result<Vec<ServiceGrant>, ServiceAccountError> {
        let before = store::lock(tx, tenant, id).await?.ok_or(ServiceAccountError::NotFound)?;
        let had = store::grants(tx, id).await?;
        let grants = sorted(grants)?;
        if grants == had {
            return Ok(had);
        }
        let now = self.parts().clock.now();
        let after = ServiceAccount { version: before.version + 1, updated_at: now, ..before };
        store::update(tx, &after).await?;
        store::replace_grants(tx, id, &grants).await?;
        self.tell_changed(tx, id, after.version).await?;
        let event = AuditEvent::new(ctx, "service_account.grant", "service_account").on(id);
        let (before, now) = (Granted { grants: &had }, Granted { grants: &grants });
        tx.audit(event.in_tenant(Some(tenant)).change(Some(&before), Some(&now)));
        tell_account(tx, ctx, "service_account.updated", &after);
        Ok(grants)
    }
}

/// As the trail shows it.
#[derive(Serialize)]
struct Granted<'a> {
    grants: &'a [ServiceGrant],
}

/// The same, checked: each audience and operation once, in order.
fn sorted(grants: &[ServiceGrant]) -> Result<Vec<ServiceGrant>, ServiceAccountError> {
    let mut by_audience: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for grant in grants {
        check_audience(&grant.audience)?;
        let operations = by_audience.entry(grant.audience.as_str()).or_default();
        check_operations(&grant.operations)?;
        operations.extend(grant.operations.iter().map(String::as_str));
    }
    refuse_if(by_audience.len() > AUDIENCES_MAX, "grants", ServiceAccountProblem::TooMany(AUDIENCES_MAX))?;
    let grants = by_audience.into_iter().map(|(audience, operations)| {
        let operations: Vec<String> = operations.into_iter().map(str::to_owned).collect();
        check_operations(&operations)?;
        Ok(ServiceGrant { audience: audience.to_owned(), operations })
    });
    grants.collect()
}

pub(super) fn check_audience(audience: &str) -> Result<(), ServiceAccountError> {
    refuse_if(audience.is_empty(), "audience", ServiceAccountProblem::Empty)?;
    let too_long = ServiceAccountProblem::TooLong(AUDIENCE_CHARS_MAX);
    refuse_if(audience.chars().count() > AUDIENCE_CHARS_MAX, "audience", too_long)?;
    refuse_if(!is_token(audience), "audience", ServiceAccountProblem::NotAnAudience)
}

/// Operations that a token may say, and has room for.
pub(super) fn check_operations(operations: &[String]) -> Result<(), ServiceAccountError> {
    refuse_if(operations.is_empty(), "operations", ServiceAccountProblem::Empty)?;
    refuse_if(
        operations.len() > OPERATIONS_MAX,
        "operations",
        ServiceAccountProblem::TooMany(OPERATIONS_MAX),
    )?;
    let is_sound = |one: &String| (1..=OPERATION_CHARS_MAX).contains(&one.len()) && is_token(one);
    refuse_if(!operations.iter().all(is_sound), "operations", ServiceAccountProblem::NotAnOperation)?;
    let chars: usize = operations.iter().map(String::len).sum();
    refuse_if(
        chars > OPERATIONS_CHARS_MAX,
        "operations",
        ServiceAccountProblem::TooLong(OPERATIONS_CHARS_MAX),
    )
}

pub(super) fn refuse_if(
    is_wrong: bool,
    field: &'static str,
    problem: ServiceAccountProblem,
) -> Result<(), ServiceAccountError> {
    if is_wrong { Err(ServiceAccountError::Invalid { field, problem }) } else { Ok(()) }
}

/// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(audience: &str, operations: &[&str]) -> ServiceGrant {
        let operations = operations.iter().map(|one| (*one).to_owned()).collect();
        ServiceGrant { audience: audience.to_owned(), operations }
    }

    #[test]
    fn what_is_said_twice_counts_once_and_stands_in_order() {
        let said = [grant("b", &["y", "x", "x"]), grant("a", &["z"]), grant("b", &["w"])];
        assert_eq!(sorted(&said).unwrap(), [grant("a", &["z"]), grant("b", &["w", "x", "y"])]);
        assert_eq!(sorted(&[]).unwrap(), []);
    }

    #[test]
    fn what_no_token_could_say_is_refused() {
        let long = "a".repeat(129);
        let many: Vec<String> = (0..40).map(|n| format!("{n:0>101}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let more: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        for wrong in [
            grant("", &["a"]),
            grant("a b", &["a"]),
            grant("ä", &["a"]),
            grant(&"a".repeat(256), &["a"]),
            grant("a", &[]),
            grant("a", &[""]),
            grant("a", &["a b"]),
            grant("a", &["a\"b"]),
            grant("a", &[&long]),
            grant("a", &many),
            grant("a", &more),
        ] {
            let refused = sorted(std::slice::from_ref(&wrong));
            assert!(matches!(refused, Err(ServiceAccountError::Invalid { .. })), "{wrong:?}");
        }
        let audiences: Vec<_> = (0..51).map(|n| grant(&format!("a{n}"), &["b"])).collect();
        assert!(sorted(&audiences).is_err());
        assert!(sorted(audiences.get(..50).unwrap()).is_ok());
        assert!(sorted(&[grant(&"a".repeat(255), &[&"a".repeat(128), "invoice.*", "*"])]).is_ok());
    }
}
