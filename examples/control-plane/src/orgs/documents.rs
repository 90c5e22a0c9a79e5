//! What organisations have set: documents whose fields are theirs and the product's to name.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stylobate::{
    core::{AuditEvent, FieldProblem, PersonId, TenantId},
    db::{Error, Tx},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, MergePatch, PathId, StrictJson, problem_for},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{document_store as store, routes::TAG, service::Orgs, target::OrgTarget, told::tell_document};
use crate::refused::{Refused, invalid};

/// Far more than settings need, and little enough to be read with every page.
const BYTES_MAX: usize = 64 * 1024;
/// How many objects and lists may lie in each other, the document itself counted.
const DEPTH_MAX: usize = 16;
/// Numbers beyond are other ones to programs that read all of them as 64-bit floats (RFC 7493 §2.2).
const NUMBER_MAX: f64 = 9_007_199_254_740_991.0;

/// Which document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Settings,
    Privacy,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Privacy => "privacy",
        }
    }

    fn read_key(self) -> &'static str {
        match self {
            Self::Settings => "settings.read",
            Self::Privacy => "privacy.read",
        }
    }

    fn update_key(self) -> &'static str {
        match self {
            Self::Settings => "settings.update",
            Self::Privacy => "privacy.update",
        }
    }
}

/// A document as it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Document {
    pub(super) fields: Map<String, Value>,
    /// How often it was replaced: 0 when never.
    pub(super) version: i64,
    pub(super) updated_at: Option<DateTime<Utc>>,
}

/// What an organisation has set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DocumentView {
    organization_id: Uuid,
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// How often it was replaced: 0 when never.
    version: i64,
    updated_at: Option<DateTime<Utc>>,
}

impl DocumentView {
    fn new(tenant: TenantId, document: Document) -> Self {
        let Document { fields, version, updated_at } = document;
        Self { organization_id: tenant.as_uuid(), settings: fields, version, updated_at }
    }
}

/// What an organisation shall have set, all of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentInput {
    // Read as a patch is for its rule that no name stands twice in an object; nothing is merged.
    /// Any object, at most 64 KiB of JSON, with at most 16 objects and lists in each other and without numbers beyond ±(2⁵³ − 1).
    #[schema(value_type = Object)]
    settings: MergePatch,
    /// The version that was read: with another one stored it is refused. Without one, whatever is stored is replaced.
    #[serde(default)]
    version: Option<i64>,
}

pub(super) fn routes(orgs: &Orgs) -> Routes {
    let (settings, privacy) = ("/v1/orgs/{id}/settings", "/v1/orgs/{id}/privacy");
    let about = |route: Route, summary| route.tag(TAG).summary(summary).returns::<DocumentView>(200);
    let get = |path, kind: Kind| Route::get(path, Permission::Key(kind.read_key()));
    let put = |path, kind: Kind| Route::put(path, Permission::Key(kind.update_key())).body::<DocumentInput>();
    Routes::new()
        .add(about(get(settings, Kind::Settings), "What the organisation has set"), orgs, settings_of)
        .add(
            about(put(settings, Kind::Settings), "Replaces what the organisation has set"),
            orgs,
            put_settings,
        )
        .add(
            about(get(privacy, Kind::Privacy), "What the organisation has set about privacy"),
            orgs,
            privacy_of,
        )
        .add(
            about(put(privacy, Kind::Privacy), "Replaces what the organisation has set about privacy"),
            orgs,
            put_privacy,
        )
}

async fn settings_of(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
) -> ApiResult<Json<DocumentView>> {
    let target = orgs.target(&context, id, Kind::Settings.read_key()).await?;
    Ok(Json(orgs.document(&target, Kind::Settings).await?))
}

async fn privacy_of(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
) -> ApiResult<Json<DocumentView>> {
    let target = orgs.target(&context, id, Kind::Privacy.read_key()).await?;
    Ok(Json(orgs.document(&target, Kind::Privacy).await?))
}

async fn put_settings(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
    StrictJson(input): StrictJson<DocumentInput>,
) -> ApiResult<Json<DocumentView>> {
    let target = orgs.target(&context, id, Kind::Settings.update_key()).await?;
    Ok(Json(orgs.put_document(&target, Kind::Settings, input).await?))
}

async fn put_privacy(
    State(orgs): State<Orgs>,
    context: Context,
    PathId(id): PathId<TenantId>,
    StrictJson(input): StrictJson<DocumentInput>,
) -> ApiResult<Json<DocumentView>> {
    let target = orgs.target(&context, id, Kind::Privacy.update_key()).await?;
    Ok(Json(orgs.put_document(&target, Kind::Privacy, input).await?))
}

impl Orgs {
    async fn document(&self, target: &OrgTarget, kind: Kind) -> Result<DocumentView, Refused> {
        let mut tx = self.db.begin_read(target.scope("read what an organisation has set")).await?;
        let found = store::find(&mut tx, target.tenant, kind).await?;
        tx.rollback().await?;
        Ok(DocumentView::new(target.tenant, found.unwrap_or_default()))
    }

    /// Replaces a document. One that says what is stored already changes nothing.
    async fn put_document(
        &self,
        target: &OrgTarget,
        kind: Kind,
        input: DocumentInput,
    ) -> Result<DocumentView, Refused> {
        let fields = input.settings.fields().clone();
        check(&fields)?;
        let (this, context, tenant) = (self.clone(), target.context.clone(), target.tenant);
        let put = async move |tx: &mut Tx| {
            this.tenancy.lock_org_to_write(tx, tenant).await?;
            let before = store::lock(tx, tenant, kind).await?;
            if input.version.is_some_and(|seen| seen != before.version) {
                return Err(Refused::from(problem_for("version_conflict")));
            }
            if before.version > 0 && before.fields == fields {
                return Ok(before);
            }
            let after = Document {
                fields: fields.clone(),
                version: before.version + 1,
                updated_at: Some(this.tenancy.clock().now()),
            };
            store::put(tx, tenant, kind, &after, context.principal.on_behalf_of()).await?;
            let action = match kind {
                Kind::Settings => "org_settings.update",
                Kind::Privacy => "org_privacy.update",
            };
            let record = AuditEvent::new(&context, action, "org").on(tenant).in_tenant(Some(tenant));
            tx.audit(record.with("version", after.version).change(Some(before.fields), Some(&after.fields)));
            match kind {
                Kind::Settings => {
                    tell_document(tx, &context, "organization.settings_updated", tenant, after.version);
                }
                Kind::Privacy => {
                    tell_document(tx, &context, "organization.privacy_updated", tenant, after.version);
                }
            }
            Ok(after)
        };
        let scope = target.scope("change what an organisation has set");
        Ok(DocumentView::new(tenant, self.db.transact(scope, put).await?))
    }
}

/// Forgets who replaced which document last, because they are removed. For transactions of platform scope.
pub(crate) async fn forget_person(tx: &mut Tx, person: PersonId) -> Result<(), Error> {
    store::forget_person(tx, person).await
}

/// Refuses what is too large or too deep to be settings, or is not the same to everybody who reads it.
fn check(fields: &Map<String, Value>) -> Result<(), Refused> {
    let wrong = |code, message: &str| Err(invalid(vec![FieldProblem::new("settings", code, message)]).into());
    // The text that is stored. Values that were read from JSON can be written as JSON.
    if serde_json::to_vec(fields).map_or(usize::MAX, |json| json.len()) > BYTES_MAX {
        return wrong("too_long", "is larger than 64 KiB");
    }
    if depth(fields.values()) > DEPTH_MAX {
        return wrong("too_deep", "has more than 16 objects and lists in each other");
    }
    if !fields.values().all(is_exact) {
        return wrong("invalid", "holds a number beyond ±9007199254740991");
    }
    Ok(())
}

/// How deep a container of `items` is, itself counted. The reader of bodies has bounded the recursion.
fn depth<'a>(items: impl Iterator<Item = &'a Value>) -> usize {
    let inner = items.map(|item| match item {
        Value::Object(fields) => depth(fields.values()),
        Value::Array(items) => depth(items.iter()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    });
    1 + inner.max().unwrap_or_default()
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= NUMBER_MAX),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(settings: Value) -> Option<String> {
        let Value::Object(fields) = settings else { panic!("an object") };
        match check(&fields) {
            Ok(()) => None,
            Err(Refused::Problem(problem)) => Some(problem.errors[0].code.to_string()),
            Err(refused) => panic!("{refused:?}"),
        }
    }

    fn nested(depth: usize) -> Value {
        (1..depth).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn documents_are_bounded_in_size_depth_and_numbers() {
        assert_eq!(refused(json!({})), None);
        assert_eq!(refused(json!({ "a": "x".repeat(BYTES_MAX - 8) })), None);
        assert_eq!(refused(json!({ "a": "x".repeat(BYTES_MAX - 7) })).as_deref(), Some("too_long"));
        assert_eq!(refused(nested(DEPTH_MAX)), None);
        assert_eq!(refused(nested(DEPTH_MAX + 1)).as_deref(), Some("too_deep"));
        let list = (1..DEPTH_MAX + 1).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(refused(json!({ "a": list })).as_deref(), Some("too_deep"));
        for number in [json!(0), json!(-0.5), json!(1e-300), json!(9_007_199_254_740_991_i64)] {
            assert_eq!(refused(json!({ "a": [number] })), None);
        }
        for number in [json!(9_007_199_254_740_992_i64), json!(i64::MIN), json!(u64::MAX), json!(1e300)] {
            assert_eq!(refused(json!({ "a": [number] })).as_deref(), Some("invalid"));
        }
    }
}
