use axum::{Json, extract::State};
use stylobate::{
    core::{FieldProblem, Problem},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiResult, Context, CurrentPrincipal, MergePatch, StrictJson},
};

use super::{
    model::{PersonInput, PersonView, Profile},
    routes::patched,
    service::People,
};
use crate::refused::{Refused, invalid};

const TAG: &str = "auth";

pub(super) fn routes(people: &People) -> Routes {
    let me = |route: Route| route.tag(TAG).returns::<PersonView>(200);
    Routes::new()
        .add(me(Route::get("/auth/me", Permission::Authenticated)).summary("Who the caller is"), people, get)
        .add(
            me(Route::patch("/auth/me", Permission::Authenticated))
                .summary("Changes the caller's own profile (JSON merge patch)")
                .body::<Profile>(),
            people,
            change,
        )
        .add(
            me(Route::put("/auth/me", Permission::Authenticated))
                .summary("Changes the caller's own profile")
                .body::<Profile>()
                .deprecated(),
            people,
            change,
        )
}

/// What people may change about themselves; everything else is an administrator's, or has a flow of its own.
const OWN_FIELDS: [&str; 21] = [
    "first_name",
    "middle_name",
    "last_name",
    "display_name",
    "bio",
    "phone",
    "emergency_number",
    "date_of_birth",
    "gender",
    "nationality",
    "preferred_contact_method",
    "locale",
    "timezone",
    "address_line1",
    "address_line2",
    "city",
    "region",
    "postal_code",
    "country_code",
    "country",
    "marketing_opt_in",
];

async fn get(State(people): State<People>, principal: CurrentPrincipal) -> ApiResult<Json<PersonView>> {
    Ok(Json(people.find_self(&principal).await?))
}

async fn change(
    State(people): State<People>,
    context: Context,
    StrictJson(patch): StrictJson<MergePatch>,
) -> ApiResult<Json<PersonView>> {
    let id = context.principal.person_id().ok_or_else(Problem::not_found)?;
    let changed = people.change(&context, id, move |before| own(before, &patch)).await?;
    Ok(Json(changed))
}

fn own(before: &PersonView, patch: &MergePatch) -> Result<PersonInput, Refused> {
    let foreign =
        patch.fields().keys().filter(|name| *name != "version" && !OWN_FIELDS.contains(&name.as_str()));
    let problems: Vec<FieldProblem> = foreign
        .map(|name| FieldProblem::new(name.clone(), "unknown", "is not a field of one's own profile"))
        .collect();
    if problems.is_empty() { patched(before, patch) } else { Err(invalid(problems).into()) }
}
