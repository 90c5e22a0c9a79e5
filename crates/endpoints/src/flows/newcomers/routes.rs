use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate_core::RoleId;
use stylobate_tenancy::Invitation;
use stylobate_tower_middleware::{ApiError, ApiResult, Context, Permission, StrictJson};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::{NewProfile, TAG, mailed_links::address, password::password},
    AccountRequest, INVITE, Joined, NewInvitee, Newcomers, Registered,
    invitation::require_organization,
    registration::{chosen, required},
};
use crate::{Route, Routes};

/// `POST /auth/invitations`: invites an address to the caller's organisation; `POST /auth/invitations/accept` takes the link.
///
/// `POST /auth/register`: asks for an account, and makes it with an invitation; `POST /auth/register/confirm` takes the link that was
/// mailed to its address.
#[must_use]
pub fn newcomer_routes(newcomers: &Newcomers) -> Routes {
    let by_link = Permission::Public("the mailed link in the body is the credential, and works once");
    let by_setting = Permission::Public(
        "whoever wants an account has none; who may is a setting, and requests are limited",
    );
    let invite = Route::post("/auth/invitations", Permission::Key(INVITE))
        .tag(TAG)
        .summary("Invites an address to the organisation");
    let accept = Route::post("/auth/invitations/accept", by_link)
        .tag(TAG)
        .summary("Joins with an invitation: with a new account, or whoever is signed in")
        .reads_credential();
    let register = Route::post("/auth/register", by_setting).tag(TAG).summary("Asks for an account");
    let confirm = Route::post("/auth/register/confirm", by_link)
        .tag(TAG)
        .summary("Makes the account that was asked for, with a link");
    Routes::new()
        .add(invite.body::<InvitationInput>().returns::<InvitationView>(201), newcomers, invited)
        .add(
            accept.body::<NewcomerInput>().returns::<JoinedView>(200).returns::<JoinedView>(201),
            newcomers,
            accepted,
        )
        .add(
            register.body::<NewcomerInput>().returns::<Asked>(202).returns::<JoinedView>(201),
            newcomers,
            registered,
        )
        .add(confirm.body::<ConfirmInput>().returns::<JoinedView>(201), newcomers, confirmed)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitationInput {
    /// Where the link is mailed.
    email: String,
    /// The role that whoever accepts is given, of the organisation and no more than the caller may do. Without one it is that of all
    /// newcomers.
    #[serde(default)]
    role_id: Option<Uuid>,
    /// The caller's organisation; any other is as if missing.
    #[serde(default)]
    organization_id: Option<Uuid>,
}

/// An invitation. Its link is in the mail alone.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvitationView {
    id: Uuid,
    organization_id: Uuid,
    email: String,
    /// The role that whoever accepts is given.
    role_id: Option<Uuid>,
    /// Who invited; `null` for the platform, and for who is no active member any more.
    invited_by: Option<Uuid>,
    /// `pending`, `accepted` or `revoked`. One whose time has passed stays `pending`, and opens nothing.
    status: &'static str,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    accepted_at: Option<DateTime<Utc>>,
    accepted_by: Option<Uuid>,
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id.as_uuid(),
            organization_id: invitation.tenant_id.as_uuid(),
            email: invitation.email,
            role_id: invitation.role_id.map(|id| id.as_uuid()),
            invited_by: invitation.invited_by.map(|id| id.as_uuid()),
            status: invitation.status.as_str(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            accepted_at: invitation.accepted_at,
            accepted_by: invitation.accepted_by.map(|id| id.as_uuid()),
        }
    }
}

/// How somebody is reached, as the replaced systems ask it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ContactInformation {
    #[serde(alias = "email_id")]
    email: Option<String>,
    phone_number: Option<String>,
    emergency_number: Option<String>,
    /// Street and number.
    #[serde(alias = "address")]
    street_address: Option<String>,
    city: Option<String>,
    state: Option<String>,
    zip_code: Option<String>,
    country: Option<String>,
}

/// An account to be made. Whoever is signed in and accepts an invitation gives its token alone.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewcomerInput {
    /// The `token` of an invitation.
    token: Option<String>,
    /// Of the account. With an invitation it is the one that was invited.
    email: Option<String>,
    /// A name to sign in with beside the e-mail address.
    username: Option<String>,
    password: Option<String>,
    first_name: Option<String>,
    middle_name: Option<String>,
    last_name: Option<String>,
    /// As `YYYY-MM-DD`.
    date_of_birth: Option<String>,
    gender: Option<String>,
    nationality: Option<String>,
    contact_information: Option<ContactInformation>,
    /// The organisation that is expected; any other than the one it is about is as if missing.
    organization_id: Option<Uuid>,
    /// The role that is expected; any other than the offered one is refused.
    role_id: Option<Uuid>,
}

impl NewcomerInput {
    /// Whether it says anything beside the token.
    fn names_an_account(&self) -> bool {
        let texts = [
            &self.email,
            &self.username,
            &self.password,
            &self.first_name,
            &self.middle_name,
            &self.last_name,
            &self.date_of_birth,
            &self.gender,
            &self.nationality,
        ];
        texts.iter().any(|text| text.is_some())
            || self.contact_information.is_some()
            || self.organization_id.is_some()
            || self.role_id.is_some()
    }

    fn into_request(self) -> ApiResult<AccountRequest> {
        let contact = self.contact_information.unwrap_or_default();
        if self.email.is_some() && contact.email.is_some() {
            return Err(ApiError::field("contact_information.email", "duplicate", "is given twice"));
        }
        Ok(AccountRequest {
            email: self.email.or(contact.email),
            username: self.username,
            password: chosen(self.password)?,
            profile: NewProfile {
                first_name: self.first_name.unwrap_or_default(),
                middle_name: self.middle_name,
                last_name: self.last_name.unwrap_or_default(),
                date_of_birth: self.date_of_birth,
                gender: self.gender,
                nationality: self.nationality,
                phone: contact.phone_number,
                emergency_number: contact.emergency_number,
                address: contact.street_address,
                city: contact.city,
                region: contact.state,
                postal_code: contact.zip_code,
                country: contact.country,
            },
            organization: self.organization_id,
            role: self.role_id,
        })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConfirmInput {
    /// The `token` of the mailed link.
    token: String,
    /// The password that was chosen.
    password: String,
    /// Another username than the one that was asked for, when somebody has that by now.
    #[serde(default)]
    username: Option<String>,
}

/// Who came in, and where.
#[derive(Serialize, ToSchema)]
struct JoinedView {
    user_id: Uuid,
    organization_id: Uuid,
}

/// What is answered whoever asked.
#[derive(Serialize, ToSchema)]
struct Asked {
    /// `ok`
    status: &'static str,
}

fn joined(joined: &Joined) -> Response {
    let status = if joined.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let view = JoinedView { user_id: joined.person.as_uuid(), organization_id: joined.tenant.as_uuid() };
    (status, Json(view)).into_response()
}

async fn invited(
    State(newcomers): State<Newcomers>,
    context: Context,
    StrictJson(input): StrictJson<InvitationInput>,
) -> ApiResult<(StatusCode, Json<InvitationView>)> {
    if let Some(tenant) = context.principal.tenant {
        require_organization(input.organization_id, tenant)?;
    }
    let invitee =
        NewInvitee { email: address("email", &input.email)?, role: input.role_id.map(RoleId::from_uuid) };
    let invitation = newcomers.invite(&context, invitee).await?;
    Ok((StatusCode::CREATED, Json(invitation.into())))
}

async fn accepted(
    State(newcomers): State<Newcomers>,
    context: Context,
    StrictJson(mut input): StrictJson<NewcomerInput>,
) -> ApiResult<Response> {
    let token = input.token.take().ok_or_else(|| required("token"))?;
    if !context.principal.is_authenticated() {
        return Ok(joined(&newcomers.accept_as_new(&context, &token, input.into_request()?).await?));
    }
    if input.names_an_account() {
        let message = "is all that is asked of who is signed in";
        return Err(ApiError::field("token", "invalid", message));
    }
    Ok(joined(&newcomers.accept_as_caller(&context, &token).await?))
}

async fn registered(
    State(newcomers): State<Newcomers>,
    context: Context,
    StrictJson(mut input): StrictJson<NewcomerInput>,
) -> ApiResult<Response> {
    let token = input.token.take();
    match newcomers.register(&context, token.as_deref(), input.into_request()?).await? {
        Registered::Made(made) => Ok(joined(&made)),
        Registered::Asked => Ok((StatusCode::ACCEPTED, Json(Asked { status: "ok" })).into_response()),
    }
}

async fn confirmed(
    State(newcomers): State<Newcomers>,
    context: Context,
    StrictJson(input): StrictJson<ConfirmInput>,
) -> ApiResult<Response> {
    let (password, username) = (password("password", input.password)?, input.username.as_deref());
    Ok(joined(&newcomers.confirm_registration(&context, &input.token, password, username).await?))
}
