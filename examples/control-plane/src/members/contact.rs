//! How a user is reached: the same profile, under the names of the replaced systems.

use axum::{Json, extract::State};
use serde::Serialize;
use stylobate::{
    core::{FieldProblem, PersonId},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, MergePatch, PathId, StrictJson, StrictQuery},
};
use utoipa::ToSchema;

use super::{
    model::OfOrganization,
    service::{Members, READ, UPDATE},
    user_model::{ContactInput, unproven},
    users::TAG,
};
use crate::{
    merged::merged,
    people::{PersonInput, PersonView, in_contact},
    refused::{Refused, invalid},
};

pub(super) fn routes(members: &Members) -> Routes {
    let path = "/v1/users/{id}/contact";
    let contact = |route: Route, summary| {
        route.tag(TAG).summary(summary).query::<OfOrganization>().returns::<ContactView>(200)
    };
    Routes::new()
        .add(contact(Route::get(path, Permission::Key(READ)), "How a user is reached"), members, get)
        .add(
            contact(
                Route::patch(path, Permission::Key(UPDATE)),
                "Changes how a user is reached (JSON merge patch)",
            )
            .body::<ContactInput>(),
            members,
            patch,
        )
}

/// How a user is reached.
#[derive(Debug, Serialize, ToSchema)]
struct ContactView {
    email: String,
    phone_number: Option<String>,
    /// Whom to call in an emergency.
    emergency_number: Option<String>,
    /// Street and number.
    street_address: Option<String>,
    city: Option<String>,
    state: Option<String>,
    zip_code: Option<String>,
    /// Two capital letters (ISO 3166-1 alpha-2), or as it was typed.
    country: Option<String>,
}

impl From<&PersonView> for ContactView {
    fn from(person: &PersonView) -> Self {
        let profile = person.profile.clone();
        Self {
            email: person.email.clone(),
            phone_number: profile.phone,
            emergency_number: profile.emergency_number,
            street_address: profile.address_line1,
            city: profile.city,
            state: profile.region,
            zip_code: profile.postal_code,
            country: profile.country_code.or(profile.country),
        }
    }
}

async fn get(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictQuery(query): StrictQuery<OfOrganization>,
) -> ApiResult<Json<ContactView>> {
    let target = members.target_or_own(&context, query.organization_id, READ).await?;
    Ok(Json(ContactView::from(&members.find(&target, id).await?)))
}

async fn patch(
    State(members): State<Members>,
    context: Context,
    PathId(id): PathId<PersonId>,
    StrictQuery(query): StrictQuery<OfOrganization>,
    StrictJson(mut patch): StrictJson<MergePatch>,
) -> ApiResult<Json<ContactView>> {
    let target = members.target_or_own(&context, query.organization_id, UPDATE).await?;
    patch.rename("email_id", "email");
    patch.rename("address", "street_address");
    let changed = members.change_person(&target, id, move |before| reached(before, &patch)).await;
    Ok(Json(ContactView::from(&changed.map_err(|refused| in_contact("", refused))?)))
}

/// What a patch makes of how somebody is reached.
fn reached(before: &PersonView, patch: &MergePatch) -> Result<PersonInput, Refused> {
    let input: ContactInput = merged(&ContactView::from(before), patch)?;
    if input.email.is_none() {
        return Err(invalid(vec![FieldProblem::new("email", "required", "is required")]).into());
    }
    Ok(unproven(before, input.replace_in(PersonInput::from(before))))
}
