use stylobate_core::{AuditEvent, RequestContext};
use stylobate_db::{Scope, Tx};
use uuid::Uuid;

use super::{
    Notifier,
    error::{NO_TEMPLATE, invalid},
    scope,
};
use crate::{
    MessageKind, NotifierError, NotifyError, Rendered, StoredTemplate, TemplateOverride, TemplateVersion,
    store::{self, lane, templates},
    template::locale,
};

/// In how many languages a tenant may have templates of its own for a kind.
pub const LOCALES_MAX: usize = 50;

impl Notifier {
    /// The kinds that the caller can have words of their own for: in a tenant those that are sent of one.
    pub fn template_kinds(&self, context: &RequestContext) -> impl Iterator<Item = &MessageKind> {
        let is_of_tenant = context.principal.tenant.is_some();
        self.catalogue().iter().filter(move |kind| !(is_of_tenant && kind.is_platform_wide))
    }

    /// The one of [them](Self::template_kinds) called `name`.
    ///
    /// # Errors
    /// [`NotifyError::KindUnknown`].
    pub fn template_kind(&self, context: &RequestContext, name: &str) -> Result<&MessageKind, NotifyError> {
        let found = self.template_kinds(context).find(|kind| kind.name == name);
        found.ok_or_else(|| NotifyError::KindUnknown { kind: name.to_owned() })
    }

    /// What the caller's tenant says instead of the product's own words for a kind, and everybody where it has nothing.
    ///
    /// # Errors
    /// The database's own.
    pub async fn templates(
        &self,
        context: &RequestContext,
        kind: &str,
    ) -> Result<Vec<StoredTemplate>, NotifierError> {
        let mut tx = self.inner.db.begin_read(READ).await?;
        let found = templates::list(&mut tx, lanes(context), kind).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// As [`templates`](Self::templates), for all kinds and without what they say.
    ///
    /// # Errors
    /// The database's own.
    pub async fn template_versions(
        &self,
        context: &RequestContext,
    ) -> Result<Vec<TemplateVersion>, NotifierError> {
        self.versions(context, None).await
    }

    async fn versions(
        &self,
        context: &RequestContext,
        kind: Option<&str>,
    ) -> Result<Vec<TemplateVersion>, NotifierError> {
        let mut tx = self.inner.db.begin_read(READ).await?;
        let found = templates::versions(&mut tx, lanes(context), kind).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// Puts a template in the place of a kind's own, in one of up to [`LOCALES_MAX`] languages, whose tag is written as everybody
    /// writes it (`en-US` for `EN_us`). It is held against the rules of templates and rendered with
    /// the kind's sample first. With `version`, that of the one that is replaced, it is refused when somebody was quicker.
    ///
    /// # Errors
    /// [`NotifierError::Notify`] with part and line, or for a kind that is unknown; [`NotifierError::Invalid`] for what is no
    /// language or one too many, and for a subject or text in which nothing can be seen then; [`NotifierError::VersionConflict`];
    /// the database's own.
    pub async fn put_template(
        &self,
        context: &RequestContext,
        kind: &str,
        mut template: TemplateOverride,
        version: Option<i64>,
    ) -> Result<StoredTemplate, NotifierError> {
        self.template_kind(context, kind)?;
        template.locale = canonical(&template.locale)?;
        self.checked_template(kind, &template)?;
        let now = self.now();
        let (tenant, by) = (context.principal.tenant, context.principal.person_id());
        let scope = scope(&context.principal, "write a template for everybody");
        let (context, kind) = (context.clone(), kind.to_owned());
        let put = async move |tx: &mut Tx| {
            let locale = &template.locale;
            store::lock(tx, vec![format!("template:{}:{kind}", lane(tenant))]).await?;
            let before = templates::find(tx, lane(tenant), &kind, locale).await?;
            if version.is_some_and(|version| before.as_ref().map_or(0, |before| before.version) != version) {
                return Err(NotifierError::VersionConflict);
            }
            let has_room = templates::count(tx, lane(tenant), &kind).await? < LOCALES_MAX;
            if before.is_none() && !has_room {
                return Err(invalid("locale", format!("is one more than the {LOCALES_MAX} of a kind")));
            }
            // Not a count: after it was removed and made anew, what is kept ready of the first must not pass for the second.
            let next = before.map_or(0, |before| before.version).max(now.timestamp_micros() - 1) + 1;
            templates::put(tx, lane(tenant), &kind, &template, next, by.map(|by| by.as_uuid()), now).await?;
            let event = AuditEvent::new(&context, "message_template.update", "message_template");
            let event = event.on(format!("{kind}/{locale}")).in_tenant(tenant);
            tx.audit(event.with("version", next));
            let stored = StoredTemplate {
                tenant_id: tenant,
                kind: kind.clone(),
                template: template.clone(),
                version: next,
                updated_at: now,
                updated_by: by,
            };
            Ok(stored)
        };
        self.inner.db.transact(scope, put).await
    }

    /// Removes what the caller's tenant says in one language: the product's own words count again.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`]; [`NotifierError::Notify`] for a kind that is unknown; the database's own.
    pub async fn delete_template(
        &self,
        context: &RequestContext,
        kind: &str,
        locale: &str,
    ) -> Result<(), NotifierError> {
        self.template_kind(context, kind)?;
        let tenant = context.principal.tenant;
        let scope = scope(&context.principal, "remove a template for everybody");
        let locale = canonical(locale).map_err(|_| NO_TEMPLATE)?;
        let (context, kind) = (context.clone(), kind.to_owned());
        let delete = async move |tx: &mut Tx| {
            if !templates::delete(tx, lane(tenant), &kind, &locale).await? {
                return Err(NO_TEMPLATE);
            }
            let event = AuditEvent::new(&context, "message_template.delete", "message_template");
            tx.audit(event.on(format!("{kind}/{locale}")).in_tenant(tenant));
            Ok(())
        };
        self.inner.db.transact(scope, delete).await
    }

    /// What a message of a kind looks like with the kind's sample: in the words of `draft`, or in those that count now in `locale`.
    ///
    /// # Errors
    /// As of [`put_template`](Self::put_template).
    pub async fn preview_template(
        &self,
        context: &RequestContext,
        kind: &str,
        locale: Option<&str>,
        draft: Option<&TemplateOverride>,
    ) -> Result<Rendered, NotifierError> {
        let declared = *self.template_kind(context, kind)?;
        let locale = locale.map(canonical).transpose()?;
        if let Some(draft) = draft {
            let draft = TemplateOverride { locale: canonical(&draft.locale)?, ..draft.clone() };
            return self.checked_template(kind, &draft);
        }
        let sample = self.catalogue().sample(kind)?.clone();
        let there = self.versions(context, Some(kind)).await?;
        let of = lane(context.principal.tenant);
        self.rendered(&there, of, &declared, locale.as_deref(), "Ada Lovelace", &sample).await
    }

    fn checked_template(&self, kind: &str, template: &TemplateOverride) -> Result<Rendered, NotifierError> {
        let rendered = self.inner.renderer.preview(kind, template)?;
        match rendered.blank_part() {
            Some(part) => Err(invalid(part, "shows nothing with the kind's sample")),
            None => Ok(rendered),
        }
    }
}

/// What is everybody's is of no tenant.
const READ: Scope = Scope::Platform("read templates of a tenant");

fn lanes(context: &RequestContext) -> [Uuid; 2] {
    [lane(context.principal.tenant), Uuid::nil()]
}

fn canonical(locale: &str) -> Result<String, NotifierError> {
    locale::canonical(locale).ok_or_else(|| invalid("locale", "is no language tag"))
}
