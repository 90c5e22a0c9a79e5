use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use stylobate_core::{DomainEvent, RequestContext, WebhookDeliveryId, WebhookEndpointId};
use stylobate_db::{Scope, Tx};
use stylobate_egress::{
    Request, Target, WEBHOOK_ID_HEADER, WEBHOOK_SIGNATURE_HEADER, WEBHOOK_TIMESTAMP_HEADER,
    classic_signature,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    signatures,
};

use super::{
    DeliveryState, DisabledReason, Next, SignatureStyle, WebhookEndpoint, WebhookSecret, Webhooks,
    WebhooksError,
    endpoints::noted,
    outcome::{ATTEMPTS_MAX, EXCERPT_BYTES_MAX, Outcome},
    sealed,
    service::{DISABLED, subject},
    store::{
        deliveries::{self, Left, Owed},
        endpoints::{self, Stored},
    },
};

const SCOPE: Scope = Scope::Platform("deliver webhooks");

/// How long an endpoint may fail before it is disabled, if deliveries were given up meanwhile.
const FAILING_MAX: TimeDelta = TimeDelta::days(5);

/// When to come back while secrets cannot be opened: that is not the receiver's fault, and no attempt. The first wait and the
/// longest; between them it is as long as the delivery has been waiting, which doubles it each time.
const SEALED_WAIT: TimeDelta = TimeDelta::minutes(1);
const SEALED_WAIT_MAX: TimeDelta = TimeDelta::hours(4);

/// How long somebody has to mend that, about as long as a receiver has.
const SEALED_MAX: TimeDelta = TimeDelta::days(1);

/// When to come back while too many names are being looked up, about: others have taken the room, and nobody was asked.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// When to come back to a delivery that somebody else was quicker with.
const OVERTAKEN_WAIT: Duration = Duration::from_secs(1);

impl Webhooks {
    /// Takes a delivery one step further: makes an attempt if one is due and nobody is at it. Call it again when
    /// [`Next::After`] is over.
    ///
    /// # Errors
    /// The database's own: nothing may be known about an attempt that was made, and the next follows when its lease has run out.
    pub async fn deliver(&self, id: WebhookDeliveryId) -> Result<Next, WebhooksError> {
        self.step(id, None).await
    }

    /// The same for those to whom it was handed on ([`Dispatch`](super::Dispatch)): nothing is done once somebody has asked for
    /// the delivery again, since that was handed on as well.
    ///
    /// # Errors
    /// As [`deliver`](Self::deliver).
    pub async fn deliver_generation(
        &self,
        id: WebhookDeliveryId,
        generation: i64,
    ) -> Result<Next, WebhooksError> {
        self.step(id, Some(generation)).await
    }

    async fn step(&self, id: WebhookDeliveryId, generation: Option<i64>) -> Result<Next, WebhooksError> {
        let now = self.now();
        let Some((owed, stored)) = self.owed(id).await? else { return Ok(Next::Done) };
        if generation.is_some_and(|generation| generation != owed.generation) {
            return Ok(Next::Done);
        }
        // Whoever is at it tells what comes of it.
        if let Some(wait) = owed.lease_until.and_then(|lease| wait_until(lease, now)) {
            return Ok(Next::After(wait));
        }
        let Some(Stored { endpoint, secrets }) = stored.filter(|stored| stored.endpoint.is_enabled) else {
            let left = Left::Finished(DeliveryState::Cancelled);
            self.set_aside(owed, "webhook_disabled", left, now).await?;
            return Ok(Next::Gone);
        };
        if let Some(wait) = wait_until(owed.due_at, now) {
            return Ok(Next::After(wait));
        }
        // Processes died at it again and again.
        if owed.attempts() >= ATTEMPTS_MAX {
            let left = Left::Finished(DeliveryState::Failed);
            self.set_aside(owed, "webhook_interrupted", left, now).await?;
            return Ok(Next::Done);
        }
        let secrets = match sealed::open(&*self.sealer, endpoint.id, &secrets, now).await {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::error!(webhook.endpoint = %endpoint.id, %error, "the secret of a webhook cannot be opened");
                let age = now - owed.asked_at;
                let wait = age.clamp(SEALED_WAIT, SEALED_WAIT_MAX);
                let is_over = age > SEALED_MAX;
                let left =
                    if is_over { Left::Finished(DeliveryState::Failed) } else { Left::Pending(now + wait) };
                self.set_aside(owed, "webhook_secret_unusable", left, now).await?;
                let again = || Next::After(wait.to_std().unwrap_or_default());
                return Ok(if is_over { Next::Done } else { again() });
            }
        };
        let lease_until = now + self.lease();
        let claim = async move |tx: &mut Tx| deliveries::claim(tx, &owed, now, lease_until).await;
        let Some(claimed) = self.db.transact(SCOPE, claim).await? else {
            return Ok(Next::After(OVERTAKEN_WAIT));
        };
        match self.send(&claimed, &endpoint, &secrets, now).await {
            Some(outcome) => self.settle(claimed, endpoint, outcome).await,
            None => self.give_back(claimed).await,
        }
    }

    /// The delivery while it is pending, and its endpoint.
    async fn owed(&self, id: WebhookDeliveryId) -> Result<Option<(Owed, Option<Stored>)>, WebhooksError> {
        let mut tx = self.db.begin_read(SCOPE).await?;
        let found = match deliveries::owed(&mut tx, id).await? {
            Some(owed) => {
                let endpoint = WebhookEndpointId::from(owed.endpoint_id);
                let stored = endpoints::find(&mut tx, SCOPE, endpoint, false).await?;
                Some((owed, stored))
            }
            None => None,
        };
        tx.rollback().await?;
        Ok(found)
    }

    async fn set_aside(
        &self,
        owed: Owed,
        error: &'static str,
        left: Left,
        now: DateTime<Utc>,
    ) -> Result<(), WebhooksError> {
        let why = Outcome::failed(error);
        let set_aside = async move |tx: &mut Tx| {
            deliveries::set_aside(tx, &owed, &why, left, now).await?;
            Ok(())
        };
        self.db.transact(SCOPE, set_aside).await
    }

    /// Takes an attempt back that was none.
    async fn give_back(&self, claimed: Owed) -> Result<Next, WebhooksError> {
        let now = self.now();
        let wait = BUSY_WAIT.mul_f64(1.0 + fastrand::f64() / 2.0);
        let left = Left::Pending(now + TimeDelta::from_std(wait).unwrap_or_default());
        let before = Owed { attempts: claimed.attempts - 1, ..claimed };
        self.set_aside(before, "egress_busy", left, now).await?;
        Ok(Next::After(wait))
    }

    /// Sends the message; `None` when there was no room to do so. Whether the address is one that may be asked is decided now, and
    /// not when the endpoint was made.
    async fn send(
        &self,
        owed: &Owed,
        endpoint: &WebhookEndpoint,
        secrets: &[WebhookSecret],
        now: DateTime<Utc>,
    ) -> Option<Outcome> {
        let target = match Target::parse(&endpoint.url, self.client.policy()) {
            Ok(target) => target,
            Err(error) => return Some(Outcome::failed(error.code())),
        };
        let Some(headers) = headers(owed, endpoint.signature, secrets, now) else {
            return Some(Outcome::failed("webhook_unsendable"));
        };
        let mut request = Request::post(target, owed.body.clone());
        request.headers = headers;
        // The status is what counts; people see how the text begins.
        request.answer_bytes_max = Some(EXCERPT_BYTES_MAX);
        match self.client.send(request).await {
            Err(stylobate_egress::Error::Busy) => None,
            answered => Some(Outcome::of(answered, now)),
        }
    }

    /// Writes what came of the attempt, and what follows for the endpoint.
    async fn settle(
        &self,
        owed: Owed,
        endpoint: WebhookEndpoint,
        outcome: Outcome,
    ) -> Result<Next, WebhooksError> {
        let now = self.now();
        let wait = outcome.error.and_then(|_| outcome.wait(owed.attempts(), fastrand::u64(..)));
        let left = match (outcome.error, wait) {
            (None, _) => Left::Finished(DeliveryState::Delivered),
            (Some(_), None) => Left::Finished(DeliveryState::Failed),
            (Some(_), Some(wait)) => {
                Left::Pending(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::hours(8)))
            }
        };
        let settle = async move |tx: &mut Tx| {
            if !deliveries::settle(tx, &owed, &outcome, left, now).await? {
                // The lease ran out, and somebody else has it, or had.
                return Ok(());
            }
            match outcome.error {
                None => endpoints::note_success(tx, endpoint.id).await?,
                Some(_) => note_failure(tx, &endpoint, &outcome, wait.is_none(), now).await?,
            }
            Ok::<_, WebhooksError>(())
        };
        self.db.transact(SCOPE, settle).await?;
        Ok(wait.map_or(Next::Done, Next::After))
    }
}

/// How long it is until `time`, if that is to come.
fn wait_until(time: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
    (time - now).to_std().ok().filter(|wait| !wait.is_zero())
}

/// Notes that an attempt failed, and disables an endpoint that is gone or has failed for too long.
async fn note_failure(
    tx: &mut Tx,
    endpoint: &WebhookEndpoint,
    outcome: &Outcome,
    is_given_up: bool,
    now: DateTime<Utc>,
) -> Result<(), WebhooksError> {
    endpoints::note_failure(tx, endpoint, i64::from(is_given_up), now).await?;
    let (reason, failing) = if outcome.is_gone() {
        (DisabledReason::Gone, None)
    } else if endpoint.failing_since.is_some_and(|since| since <= now - FAILING_MAX) {
        (DisabledReason::Failing, Some(now - FAILING_MAX))
    } else {
        return Ok(());
    };
    if endpoints::disable(tx, endpoint, reason, failing, now).await? {
        let mut context = RequestContext::system("webhooks");
        context.principal.tenant = Some(endpoint.tenant_id);
        tx.audit(noted(&context, "webhook.disable", endpoint).with("reason", reason.as_str()));
        let data = json!({
            "endpoint_id": endpoint.id,
            "reason": reason,
            "failing_since": endpoint.failing_since,
        });
        tx.emit(DomainEvent::new(&context, DISABLED, subject(endpoint.id), data));
        tracing::warn!(webhook.endpoint = %endpoint.id, reason = reason.as_str(), "a webhook is disabled");
    }
    Ok(())
}

/// The headers of a message; `None` when a type or id has what no header can.
fn headers(
    owed: &Owed,
    style: SignatureStyle,
    secrets: &[WebhookSecret],
    now: DateTime<Utc>,
) -> Option<HeaderMap> {
    let id = owed.event_id.to_string();
    let body = owed.body.as_bytes();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut insert = |name: &'static str, value: &str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
        Some(())
    };
    if matches!(style, SignatureStyle::Standard | SignatureStyle::Both) {
        insert(WEBHOOK_ID_HEADER, &id)?;
        insert(WEBHOOK_TIMESTAMP_HEADER, &now.timestamp().to_string())?;
        insert(WEBHOOK_SIGNATURE_HEADER, &signatures(secrets, &id, now.timestamp(), body))?;
    }
    if matches!(style, SignatureStyle::Classic | SignatureStyle::Both) {
        insert("x-webhook-event", &owed.kind)?;
        // There is room for one: the one before, for as long as it is live, since receivers may not know the new one yet.
        insert("x-webhook-signature", &classic_signature(secrets.last()?, body))?;
        insert("idempotency-key", &id)?;
    }
    Some(headers)
}
