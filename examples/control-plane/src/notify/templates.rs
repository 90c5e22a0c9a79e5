//! What messages say: the product's own words, and those that the organisation puts in their place.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, PathId, PathIds, StrictJson},
    notify::{
        Category, MessageKind, Notifier, Rendered, Severity, StoredTemplate, TemplateOverride,
        TemplateVersion,
    },
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::TAG;
use crate::caller::of_tenant;

const READ: Permission = Permission::Key("notification.template.read");
const MANAGE: Permission = Permission::Key("notification.template.manage");

/// What `{kind}` is in paths.
const KIND: &str = "The kind of messages, by name.";

pub(super) fn routes(notifier: &Notifier) -> Routes {
    Routes::new()
        .add(
            Route::get("/notification-templates", READ)
                .tag(TAG)
                .summary("Lists the kinds of messages, with what they say in each language, and where the organisation says something else")
                .returns::<KindList>(200),
            notifier,
            list,
        )
        .add(
            Route::get("/notification-templates/{kind}", READ)
                .tag(TAG)
                .no_id("kind", KIND)
                .summary("Reads a kind of messages")
                .returns::<KindView>(200),
            notifier,
            get,
        )
        .add(
            Route::put("/notification-templates/{kind}/{locale}", MANAGE)
                .tag(TAG)
                .no_id("kind", KIND)
                .no_id("locale", "The language, as in `en`.")
                .summary("Puts a template of the organisation in the place of the product's own. It is checked and tried out first")
                .body::<TemplateInput>()
                .returns::<OverrideView>(200),
            notifier,
            put,
        )
        .add(
            Route::delete("/notification-templates/{kind}/{locale}", MANAGE)
                .tag(TAG)
                .no_id("kind", KIND)
                .no_id("locale", "The language, as in `en`.")
                .summary("Removes a template of the organisation: the product's own counts again")
                .answers(204, None),
            notifier,
            delete,
        )
        .add(
            Route::post("/notification-templates/{kind}/preview", READ)
                .tag(TAG)
                .no_id("kind", KIND)
                .summary("Shows a message with sample values: in the words that count now, or in those given")
                .body::<PreviewInput>()
                .returns::<PreviewView>(200),
            notifier,
            preview,
        )
}

/// A kind of messages.
#[derive(Serialize, ToSchema)]
struct KindView {
    #[serde(flatten)]
    kind: KindHead,
    /// What is said instead of the product's own words.
    overrides: Vec<OverrideView>,
}

/// What a kind of messages is.
#[derive(Serialize, ToSchema)]
struct KindHead {
    kind: String,
    #[schema(value_type = String)]
    category: Category,
    #[schema(value_type = String)]
    severity: Severity,
    /// It holds codes or single-use links: it goes to the recipient's own addresses and is not kept.
    is_confidential: bool,
    /// The values that a template may use, besides `recipient.name`, `product.name` and `product.url`.
    values: Vec<String>,
    /// The product's own words.
    templates: Vec<TemplateView>,
}

#[derive(Serialize, ToSchema)]
struct KindList {
    items: Vec<KindSummary>,
}

/// A kind of messages, without what is said instead of its own words.
#[derive(Serialize, ToSchema)]
struct KindSummary {
    #[serde(flatten)]
    kind: KindHead,
    /// What stands in the place of the product's own words; read the kind to see what it says.
    overrides: Vec<OverrideSummary>,
}

#[derive(Serialize, ToSchema)]
struct OverrideSummary {
    locale: String,
    /// Whether it is the platform's, for every organisation that has none of its own.
    is_platform: bool,
    version: i64,
    updated_at: DateTime<Utc>,
    updated_by: Option<Uuid>,
}

impl From<TemplateVersion> for OverrideSummary {
    fn from(stored: TemplateVersion) -> Self {
        Self {
            locale: stored.locale,
            is_platform: stored.tenant_id.is_none(),
            version: stored.version,
            updated_at: stored.updated_at,
            updated_by: stored.updated_by.map(|person| person.as_uuid()),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct TemplateView {
    locale: String,
    subject: String,
    text: String,
    html: Option<String>,
}

/// A template that stands in the place of the product's own.
#[derive(Serialize, ToSchema)]
struct OverrideView {
    #[serde(flatten)]
    template: TemplateView,
    /// Whether it is the platform's, for every organisation that has none of its own.
    is_platform: bool,
    version: i64,
    updated_at: DateTime<Utc>,
    updated_by: Option<Uuid>,
}

impl From<StoredTemplate> for OverrideView {
    fn from(stored: StoredTemplate) -> Self {
        let TemplateOverride { locale, subject, text, html } = stored.template;
        Self {
            template: TemplateView { locale, subject, text, html },
            is_platform: stored.tenant_id.is_none(),
            version: stored.version,
            updated_at: stored.updated_at,
            updated_by: stored.updated_by.map(|person| person.as_uuid()),
        }
    }
}

/// What is to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TemplateInput {
    /// One line.
    subject: String,
    /// What everybody can read.
    text: String,
    /// The same with formats, for mail.
    html: Option<String>,
    /// Refuses the change if the template has another version by now; 0 if there must be none.
    version: Option<i64>,
}

/// What is to be shown.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct PreviewInput {
    /// The language; the kind's first unless given.
    locale: Option<String>,
    /// With `text`: a template that is not saved yet.
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
}

/// A message as its recipient would read it.
#[derive(Serialize, ToSchema)]
struct PreviewView {
    locale: String,
    subject: String,
    text: String,
    html: Option<String>,
}

impl From<Rendered> for PreviewView {
    fn from(rendered: Rendered) -> Self {
        let Rendered { locale, subject, text, html } = rendered;
        Self { locale, subject, text, html }
    }
}

async fn list(State(notifier): State<Notifier>, context: Context) -> ApiResult<Json<KindList>> {
    let context = of_tenant(&context)?;
    let stored = notifier.template_versions(context).await?;
    let items = notifier.template_kinds(context).map(|kind| {
        let overrides = stored.iter().filter(|stored| stored.kind == kind.name).cloned();
        KindSummary { kind: head(&notifier, kind), overrides: overrides.map(Into::into).collect() }
    });
    Ok(Json(KindList { items: items.collect() }))
}

async fn get(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(kind): PathId<String>,
) -> ApiResult<Json<KindView>> {
    let context = of_tenant(&context)?;
    let kind = *notifier.template_kind(context, &kind)?;
    let stored = notifier.templates(context, kind.name).await?;
    let overrides = stored.into_iter().map(Into::into).collect();
    Ok(Json(KindView { kind: head(&notifier, &kind), overrides }))
}

async fn put(
    State(notifier): State<Notifier>,
    context: Context,
    PathIds(kind, locale): PathIds<String, String>,
    StrictJson(input): StrictJson<TemplateInput>,
) -> ApiResult<Json<OverrideView>> {
    let TemplateInput { subject, text, html, version } = input;
    let template = TemplateOverride { locale, subject, text, html };
    Ok(Json(notifier.put_template(of_tenant(&context)?, &kind, template, version).await?.into()))
}

async fn delete(
    State(notifier): State<Notifier>,
    context: Context,
    PathIds(kind, locale): PathIds<String, String>,
) -> ApiResult<StatusCode> {
    notifier.delete_template(of_tenant(&context)?, &kind, &locale).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn preview(
    State(notifier): State<Notifier>,
    context: Context,
    PathId(kind): PathId<String>,
    StrictJson(input): StrictJson<PreviewInput>,
) -> ApiResult<Json<PreviewView>> {
    let PreviewInput { locale, subject, text, html } = input;
    let draft = match (subject, text) {
        (Some(subject), Some(text)) => {
            let first = || {
                let templates =
                    notifier.catalogue().find(&kind).map(|kind| kind.templates).unwrap_or_default();
                templates.first().map(|template| template.locale.to_owned()).unwrap_or_default()
            };
            let locale = locale.clone().unwrap_or_else(first);
            Some(TemplateOverride { locale, subject, text, html })
        }
        (None, None) if html.is_none() => None,
        (None, _) => return Err(ApiError::field("subject", "required", "is required")),
        (Some(_), None) => return Err(ApiError::field("text", "required", "is required")),
    };
    let shown =
        notifier.preview_template(of_tenant(&context)?, &kind, locale.as_deref(), draft.as_ref()).await?;
    Ok(Json(shown.into()))
}

fn head(notifier: &Notifier, kind: &MessageKind) -> KindHead {
    let sample = notifier.catalogue().sample(kind.name).ok().and_then(|sample| sample.as_object());
    let own = kind.templates.iter().map(|template| TemplateView {
        locale: template.locale.to_owned(),
        subject: template.subject.to_owned(),
        text: template.text.to_owned(),
        html: template.html.map(str::to_owned),
    });
    KindHead {
        kind: kind.name.to_owned(),
        category: kind.category,
        severity: kind.severity,
        is_confidential: kind.is_confidential,
        values: sample.into_iter().flat_map(|sample| sample.keys().cloned()).collect(),
        templates: own.collect(),
    }
}
