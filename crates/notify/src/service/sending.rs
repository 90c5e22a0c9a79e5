//! Handing a rendered message to whatever carries it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use stylobate_db::Scope;
use uuid::Uuid;

use super::{Notifier, sealed::Destination};
use crate::{
    Draft, EmailAddress, FailureClass, Mailbox, Medium, MessageKind, NotifierError, NotifyError, OverrideKey,
    Receipt, Rendered, SendError, StoredTemplate, TemplateVersion,
    channel_config::ChannelConfig,
    failure::{failed, refused},
    store::{deliveries::Owed, lane, templates},
    template::locale,
};

/// All that is needed to send.
pub(super) struct Parcel<'a> {
    pub(super) owed: &'a Owed,
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "webhooks tell it"))]
    pub(super) kind: &'a MessageKind,
    pub(super) medium: Medium,
    pub(super) destination: Destination,
    pub(super) config: Option<ChannelConfig>,
    pub(super) rendered: Rendered,
}

impl Notifier {
    /// Renders a message in the recipient's locale, in the words of its tenant where that has some, or of everybody. Where these
    /// fail or show nothing, which they may with values that their sample did not have, the product's own are said: nobody silences
    /// a message by a template.
    pub(super) async fn rendered(
        &self,
        overrides: &[TemplateVersion],
        of: Uuid,
        kind: &MessageKind,
        wanted: Option<&str>,
        name: &str,
        values: &Value,
    ) -> Result<Rendered, NotifierError> {
        let draft = Draft { kind: kind.name, locale: wanted, recipient_name: name, values };
        match self.rendered_by_override(overrides, of, kind, &draft).await? {
            Some(Ok(rendered)) => match rendered.blank_part() {
                None => return Ok(rendered),
                Some(part) => {
                    tracing::warn!(notify.kind = kind.name, part, "a template of a tenant shows nothing");
                }
            },
            Some(Err(error)) => {
                tracing::warn!(notify.kind = kind.name, code = error.code(), %error, "a template of a tenant fails");
            }
            None => {}
        }
        Ok(self.inner.renderer.render(&draft)?)
    }

    /// `None` where no override is for it.
    async fn rendered_by_override(
        &self,
        overrides: &[TemplateVersion],
        of: Uuid,
        kind: &MessageKind,
        draft: &Draft<'_>,
    ) -> Result<Option<Result<Rendered, NotifyError>>, NotifierError> {
        let wanted = draft.locale;
        let own = kind.templates.iter().map(|template| template.locale);
        let there = own.chain(overrides.iter().map(|stored| stored.locale.as_str()));
        let chosen = locale::best(wanted, there).unwrap_or_default();
        let in_locale = |stored: &&TemplateVersion| stored.locale.eq_ignore_ascii_case(chosen);
        let found = overrides
            .iter()
            .filter(in_locale)
            .find(|stored| lane(stored.tenant_id) == of)
            .or_else(|| overrides.iter().filter(in_locale).find(|stored| stored.tenant_id.is_none()));
        let renderer = &self.inner.renderer;
        let Some(TemplateVersion { tenant_id, locale, version, .. }) = found else { return Ok(None) };
        let mut key = OverrideKey {
            tenant: *tenant_id,
            kind: kind.name.to_owned(),
            locale: locale.clone(),
            version: *version,
        };
        if let Some(rendered) = renderer.render_kept(&key, draft) {
            return Ok(Some(rendered));
        }
        let mut tx = self.inner.db.begin_read(Scope::Platform("read a template")).await?;
        let stored = templates::find(&mut tx, lane(*tenant_id), kind.name, locale).await?;
        tx.rollback().await?;
        // It may have been changed or removed since its version was read.
        let Some(StoredTemplate { template, version, .. }) = stored else { return Ok(None) };
        key.version = version;
        Ok(Some(renderer.render_override(&key, &template, draft)))
    }

    /// Whether there is something that could carry messages by `medium`.
    pub(super) fn carries(&self, medium: Medium) -> bool {
        match medium {
            Medium::Email => self.inner.mail.is_some(),
            Medium::InApp => false,
            #[cfg(feature = "client")]
            Medium::Sms => self.inner.sms.is_some(),
            #[cfg(feature = "client")]
            _ => self.inner.http.is_some(),
            #[cfg(not(feature = "client"))]
            _ => false,
        }
    }

    /// Sends it, once, and says what came of it.
    pub(super) async fn send_once(
        &self,
        parcel: &Parcel<'_>,
        now: DateTime<Utc>,
    ) -> Result<Receipt, SendError> {
        let sent = tokio::time::timeout(Self::ATTEMPT_MAX, self.send_by_medium(parcel, now));
        sent.await.unwrap_or(Err(failed(FailureClass::TRANSIENT, "notify_timeout")))
    }

    async fn send_by_medium(&self, parcel: &Parcel<'_>, now: DateTime<Utc>) -> Result<Receipt, SendError> {
        match (&parcel.config, parcel.medium) {
            (None, Medium::Email) => self.mail_to(&parcel.destination.to, parcel, now).await,
            (Some(ChannelConfig::Email { address }), _) => self.mail_to(address, parcel, now).await,
            #[cfg(feature = "client")]
            (None, Medium::Sms) => {
                let sms = self.inner.sms.as_ref().ok_or(refused("notify_no_transport"))?;
                let number = parcel.destination.to.parse().map_err(|_| refused("notify_address_invalid"))?;
                sms.send(&number, &parcel.rendered.text, now).await
            }
            #[cfg(feature = "client")]
            (Some(config), _) => {
                let http = self.inner.http.as_ref().ok_or(refused("notify_no_transport"))?;
                let request = self.request(http, config, parcel, now)?;
                let answer = crate::post::post(http, request, now).await?;
                Ok(Receipt { status: Some(answer.status.as_u16()) })
            }
            _ => Err(refused("notify_no_transport")),
        }
    }

    async fn mail_to(
        &self,
        address: &str,
        parcel: &Parcel<'_>,
        now: DateTime<Utc>,
    ) -> Result<Receipt, SendError> {
        let (composer, transport) = self.inner.mail.as_ref().ok_or(refused("notify_no_transport"))?;
        let address = EmailAddress::parse(address).map_err(|_| refused("notify_address_invalid"))?;
        let to = Mailbox::new(&parcel.destination.name, address);
        let mail = composer.compose(parcel.owed.id, &to, &parcel.rendered, now);
        transport.send(&mail.map_err(|error| refused(error.code()))?).await
    }

    #[cfg(feature = "client")]
    fn request(
        &self,
        http: &stylobate_egress::Client,
        config: &ChannelConfig,
        parcel: &Parcel<'_>,
        now: DateTime<Utc>,
    ) -> Result<stylobate_egress::Request, SendError> {
        use stylobate_egress::{Request, Target};

        use crate::chat::{ChatText, discord, mattermost, slack, teams, telegram};

        let Rendered { subject, text, .. } = &parcel.rendered;
        let said = ChatText { title: subject, text };
        let (hosts, policy) = (&self.inner.hosts, http.policy());
        let body = match config {
            ChannelConfig::Slack { .. } => slack::body(&said),
            ChannelConfig::Mattermost { .. } => mattermost::body(&said),
            ChannelConfig::Teams { .. } => teams::body(&said),
            ChannelConfig::Discord { .. } => discord::body(&said),
            ChannelConfig::Telegram { bot_token, chat_id } => {
                let url = format!("{}/bot{bot_token}/sendMessage", hosts.telegram());
                let target = Target::parse(&url, policy).map_err(|error| refused(error.code()))?;
                let mut request = Request::post(target, telegram::body(chat_id, &said).to_string());
                crate::post::json(&mut request);
                return Ok(request);
            }
            ChannelConfig::Webhook { url, secret } => {
                let notice = crate::webhook::Notice {
                    id: &parcel.owed.id.to_string(),
                    kind: &parcel.owed.kind,
                    topic: &parcel.owed.topic,
                    category: parcel.kind.category,
                    severity: parcel.kind.severity,
                    title: subject,
                    text,
                    created_at: parcel.owed.accepted_at,
                };
                return crate::webhook::request(url, secret, policy, &notice, now);
            }
            ChannelConfig::Email { .. } => return Err(refused("notify_channel_invalid")),
        };
        // What was allowed when it was set up may not be any more.
        let target = config.target(hosts, policy).map_err(refused)?;
        let mut request = Request::post(target, body.to_string());
        crate::post::json(&mut request);
        Ok(request)
    }
}
