use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{AuditEvent, Page, RequestContext, WebhookEndpointId};
use stylobate_db::Tx;
use stylobate_egress::Target;

use super::{
    DisabledReason, EndpointChange, EndpointQuery, NewEndpoint, SignatureStyle, WebhookEndpoint,
    WebhookSecret, Webhooks, WebhooksError,
    error::{NO_ENDPOINT, invalid},
    filter, sealed,
    service::{ENDPOINTS_MAX, scope},
    store::endpoints,
};

/// How many characters a description may have.
const DESCRIPTION_CHARS_MAX: usize = 200;
/// How long the secret before is signed with after a rotation, unless asked.
const OVERLAP: Duration = Duration::from_secs(24 * 3_600);
/// The longest that may be asked for.
const OVERLAP_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

impl Webhooks {
    /// Makes an endpoint of the caller's tenant, and the secret that its messages are signed with. The secret is shown this once.
    ///
    /// # Errors
    /// [`WebhooksError::Invalid`] with the field that is wrong (`url`, `description`, `types`); [`WebhooksError::TooMany`] above
    /// [`ENDPOINTS_MAX`]; [`WebhooksError::TenantRequired`]; [`WebhooksError::Seal`]; the database's own.
    pub async fn create(
        &self,
        context: &RequestContext,
        new: NewEndpoint,
    ) -> Result<(WebhookEndpoint, WebhookSecret), WebhooksError> {
        let now = self.now();
        let endpoint = WebhookEndpoint {
            id: WebhookEndpointId::new(now),
            tenant_id: context.principal.tenant.ok_or(WebhooksError::TenantRequired)?,
            url: self.checked_url(&new.url)?,
            description: checked_description(new.description)?,
            types: filter::checked(new.types, &self.catalogue)?,
            signature: new.signature,
            is_enabled: true,
            disabled_reason: None,
            failing_since: None,
            previous_secret_until: None,
            created_at: now,
            updated_at: now,
        };
        let scope = scope(&context.principal, "make a webhook");
        let secret = WebhookSecret::generate().ok_or(WebhooksError::Randomness)?;
        let sealed = sealed::seal(&*self.sealer, endpoint.id, &secret).await?;
        let context = context.clone();
        let create = async move |tx: &mut Tx| {
            endpoints::lock_tenant(tx, endpoint.tenant_id).await?;
            if endpoints::count(tx, endpoint.tenant_id).await? >= ENDPOINTS_MAX {
                return Err(WebhooksError::TooMany { max: ENDPOINTS_MAX });
            }
            endpoints::insert(tx, &endpoint, &sealed).await?;
            let event = noted(&context, "webhook.create", &endpoint);
            tx.audit(event.change(None::<()>, Some(Summary::of(&endpoint))));
            Ok(endpoint.clone())
        };
        Ok((self.db.transact(scope, create).await?, secret))
    }

    /// An endpoint of the caller's tenant.
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`], and the database's own.
    pub async fn get(
        &self,
        context: &RequestContext,
        id: WebhookEndpointId,
    ) -> Result<WebhookEndpoint, WebhooksError> {
        let scope = scope(&context.principal, "read a webhook");
        let mut tx = self.db.begin_read(scope).await?;
        let found = endpoints::find(&mut tx, scope, id, false).await?;
        tx.rollback().await?;
        Ok(found.ok_or(NO_ENDPOINT)?.endpoint)
    }

    /// Endpoints of the caller's tenant, the newest first.
    ///
    /// # Errors
    /// [`WebhooksError::Cursor`], and the database's own.
    pub async fn list(
        &self,
        context: &RequestContext,
        query: &EndpointQuery,
    ) -> Result<Page<WebhookEndpoint>, WebhooksError> {
        let scope = scope(&context.principal, "list webhooks");
        let mut tx = self.db.begin_read(scope).await?;
        let page = endpoints::list(&mut tx, scope, query).await?;
        tx.rollback().await?;
        Ok(page)
    }

    /// Edits an endpoint. Another URL, and enabling it, begin a new life: what failed before does not count.
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`]; else as [`create`](Self::create).
    pub async fn update(
        &self,
        context: &RequestContext,
        id: WebhookEndpointId,
        change: EndpointChange,
    ) -> Result<WebhookEndpoint, WebhooksError> {
        let change = EndpointChange {
            url: change.url.map(|url| self.checked_url(&url)).transpose()?,
            description: change.description.map(checked_description).transpose()?,
            types: change.types.map(|types| filter::checked(types, &self.catalogue)).transpose()?,
            ..change
        };
        let scope = scope(&context.principal, "edit a webhook");
        let (now, context) = (self.now(), context.clone());
        let update = async move |tx: &mut Tx| {
            let before = endpoints::find(tx, scope, id, true).await?.ok_or(NO_ENDPOINT)?.endpoint;
            let after = changed(before.clone(), change.clone(), now);
            endpoints::update(tx, &after).await?;
            let event = noted(&context, "webhook.update", &after);
            let event = event.change(Some(Summary::of(&before)), Some(Summary::of(&after)));
            tx.audit(event.with("url_changed", before.url != after.url));
            Ok(after)
        };
        self.db.transact(scope, update).await
    }

    /// Removes an endpoint and its secrets. What was owed to it is not sent, and its deliveries are removed by
    /// [`prune`](Self::prune).
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`], and the database's own.
    pub async fn delete(&self, context: &RequestContext, id: WebhookEndpointId) -> Result<(), WebhooksError> {
        let scope = scope(&context.principal, "remove a webhook");
        let context = context.clone();
        let delete = async move |tx: &mut Tx| {
            let before = endpoints::find(tx, scope, id, true).await?.ok_or(NO_ENDPOINT)?.endpoint;
            endpoints::delete(tx, id).await?;
            tx.audit(
                noted(&context, "webhook.delete", &before).change(Some(Summary::of(&before)), None::<()>),
            );
            Ok(())
        };
        self.db.transact(scope, delete).await
    }

    /// Makes another secret, which is shown this once. Messages are signed with the one before as well for `overlap` (24 h unless
    /// given, up to 7 days); with none, that one is worth nothing at once. Of three rotations within the overlap the first secret
    /// goes.
    ///
    /// # Errors
    /// [`WebhooksError::NotFound`]; [`WebhooksError::Invalid`] with the field `overlap_seconds`; [`WebhooksError::Seal`]; the
    /// database's own.
    pub async fn rotate_secret(
        &self,
        context: &RequestContext,
        id: WebhookEndpointId,
        overlap: Option<Duration>,
    ) -> Result<(WebhookEndpoint, WebhookSecret), WebhooksError> {
        let overlap = overlap.unwrap_or(OVERLAP);
        if overlap > OVERLAP_MAX {
            return Err(invalid("overlap_seconds", "is at most 7 days"));
        }
        let now = self.now();
        let until = TimeDelta::from_std(overlap).ok().filter(|overlap| !overlap.is_zero());
        let until = until.map(|overlap| now + overlap);
        let secret = WebhookSecret::generate().ok_or(WebhooksError::Randomness)?;
        let sealed = sealed::seal(&*self.sealer, id, &secret).await?;
        let scope = scope(&context.principal, "rotate the secret of a webhook");
        let context = context.clone();
        let rotate = async move |tx: &mut Tx| {
            let mut endpoint = endpoints::find(tx, scope, id, true).await?.ok_or(NO_ENDPOINT)?.endpoint;
            // Whoever asks twice would take the secret away that the receiver has.
            if until.is_some() && endpoint.previous_secret_until.is_some_and(|until| until > now) {
                return Err(WebhooksError::Rotating);
            }
            endpoints::rotate(tx, id, &sealed, until, now).await?;
            endpoint.previous_secret_until = until;
            endpoint.updated_at = now;
            let event = noted(&context, "webhook.rotate_secret", &endpoint);
            tx.audit(event.with("overlap_seconds", overlap.as_secs()));
            Ok::<_, WebhooksError>(endpoint)
        };
        Ok((self.db.transact(scope, rotate).await?, secret))
    }

    /// The URL in its normal form, if something may be sent there as far as its text tells.
    fn checked_url(&self, url: &str) -> Result<String, WebhooksError> {
        let target = Target::parse(url, self.client.policy());
        Ok(target.map_err(|error| invalid("url", error.to_string()))?.as_str().to_owned())
    }
}

/// The endpoint after `change`, whose values are checked.
fn changed(mut endpoint: WebhookEndpoint, change: EndpointChange, now: DateTime<Utc>) -> WebhookEndpoint {
    let is_elsewhere = change.url.as_ref().is_some_and(|url| *url != endpoint.url);
    let is_enabled = change.is_enabled.unwrap_or(endpoint.is_enabled);
    if is_elsewhere || (is_enabled && !endpoint.is_enabled) {
        endpoint.failing_since = None;
    }
    endpoint.disabled_reason = match (is_enabled, endpoint.disabled_reason) {
        (true, _) => None,
        (false, reason) => reason.or(Some(DisabledReason::ByHand)),
    };
    endpoint.is_enabled = is_enabled;
    endpoint.url = change.url.unwrap_or(endpoint.url);
    endpoint.description = change.description.unwrap_or(endpoint.description);
    endpoint.types = change.types.unwrap_or(endpoint.types);
    endpoint.signature = change.signature.unwrap_or(endpoint.signature);
    endpoint.updated_at = now;
    endpoint
}

fn checked_description(text: String) -> Result<String, WebhooksError> {
    if text.chars().count() > DESCRIPTION_CHARS_MAX || text.chars().any(char::is_control) {
        let problem = format!("has up to {DESCRIPTION_CHARS_MAX} characters and no control character");
        return Err(invalid("description", problem));
    }
    Ok(text)
}

pub(super) fn noted(
    context: &RequestContext,
    action: &'static str,
    endpoint: &WebhookEndpoint,
) -> AuditEvent {
    AuditEvent::new(context, action, "webhook").on(endpoint.id).in_tenant(Some(endpoint.tenant_id))
}

/// What the audit trail says about an endpoint. Paths of URLs stay out of it: for some receivers they are the secret.
#[derive(serde::Serialize)]
struct Summary<'a> {
    origin: String,
    description: &'a str,
    types: &'a [String],
    signature: SignatureStyle,
    is_enabled: bool,
}

impl<'a> Summary<'a> {
    fn of(endpoint: &'a WebhookEndpoint) -> Self {
        let url = url::Url::parse(&endpoint.url);
        Self {
            origin: url.map(|url| url.origin().ascii_serialization()).unwrap_or_default(),
            description: &endpoint.description,
            types: &endpoint.types,
            signature: endpoint.signature,
            is_enabled: endpoint.is_enabled,
        }
    }
}
