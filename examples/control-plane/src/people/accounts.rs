//! The accounts that flows make and change by mailed links.

use chrono::{NaiveDate, TimeDelta};
use stylobate::{
    auth::{ApiKeyError, Person, ServiceAccountError},
    core::{BoxFuture, FieldProblem, PersonId, RequestContext, TenantId},
    db::Tx,
    endpoints::{AccountError, Accounts, NewAccount, NewProfile},
    events::EventsError,
    jobs::JobsError,
    middleware::IntoProblem as _,
    notify::NotifierError,
};

use super::{
    model::{Gender, PersonInput, Profile, country_of},
    service::{Draft, People},
    store,
    told::tell_person,
};
use crate::refused::{Refused, invalid};

/// How long a request may go on that was let in before everything ended that the password before had opened: a second until other
/// processes know, and the request itself.
const AT_WORK: TimeDelta = TimeDelta::minutes(1);

impl Accounts for People {
    fn check(&self, profile: &NewProfile) -> Result<(), AccountError> {
        kept(profile)?;
        Ok(())
    }

    fn make<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        new: &'a NewAccount,
    ) -> BoxFuture<'a, Result<PersonId, AccountError>> {
        Box::pin(async move {
            let draft = Draft::of_newcomer(new, kept(&new.profile)?);
            let view = self.create_in(tx, context, tenant, &draft).await?;
            Ok(PersonId::from_uuid(view.id))
        })
    }

    fn joined<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        tenant: TenantId,
        person: PersonId,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async move {
            self.pause_channels(tx, context, person).await?;
            let Some(view) = store::find_member(tx, tenant, person).await? else { return Ok(()) };
            tell_person(tx, context, "member.added", tenant, &view);
            Ok(())
        })
    }

    fn email_changed<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        person: &'a Person,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async move {
            let Some(view) = store::find_self(tx, person.id, None).await? else { return Ok(()) };
            let key = store::search_key(&view.profile, view.username.as_deref(), &view.email);
            store::put_search_key(tx, person.id, key).await?;
            for membership in self.tenancy.memberships_of(tx, person.id).await? {
                tell_person(tx, context, "user.updated", membership.tenant_id, &view);
            }
            Ok(())
        })
    }
}

impl People {
    // A12
    /// Keeps whoever chose the password before the person's own one from hearing what a further organisation says to them, through a
    /// channel made in their name. Which of the channels of that time are the person's, the person says by switching them on.
    async fn pause_channels(
        &self,
        tx: &mut Tx,
        context: &RequestContext,
        person: PersonId,
    ) -> Result<(), Refused> {
        if let Some(set_at) = self.auth.password_set_at(tx, person).await? {
            self.messages.pause_own_channels(tx, context, person, set_at + AT_WORK).await?;
        }
        Ok(())
    }
}

impl From<Refused> for AccountError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Problem(problem) => Self::Problem(problem),
            Refused::Db(error) => error.into(),
            Refused::People(error) => error.into(),
            Refused::Auth(error) => error.into(),
            Refused::ApiKey(ApiKeyError::Db(error)) => error.into(),
            Refused::ApiKey(error) => error.into_problem().into(),
            Refused::ServiceAccount(ServiceAccountError::Db(error)) => error.into(),
            Refused::ServiceAccount(error) => error.into_problem().into(),
            Refused::Rbac(error) => error.into(),
            Refused::Tenancy(error) => error.into(),
            Refused::Jobs(JobsError::Db(error)) => error.into(),
            Refused::Jobs(error) => error.into_problem().into(),
            Refused::Events(EventsError::Db(error)) => error.into(),
            Refused::Events(error) => error.into_problem().into(),
            Refused::Notifier(NotifierError::Db(error)) => error.into(),
            Refused::Notifier(error) => error.into_problem().into(),
        }
    }
}

/// What of a profile is kept, held to the rules of all profiles.
fn kept(said: &NewProfile) -> Result<Profile, Refused> {
    let mut problems = Vec::new();
    let born = said.date_of_birth.as_deref().map(str::parse::<NaiveDate>).transpose();
    let born = born.unwrap_or_else(|_| {
        problems.push(FieldProblem::new("date_of_birth", "invalid", "is not a date as YYYY-MM-DD"));
        None
    });
    let gender = match said.gender.as_deref() {
        None => Gender::Unknown,
        Some(text) => Gender::parse(text).unwrap_or_else(|| {
            let message = "is none of `unknown`, `female`, `male`, `non_binary`, `other`";
            problems.push(FieldProblem::new("gender", "invalid", message));
            Gender::Unknown
        }),
    };
    let (country_code, country) = country_of(said.country.clone());
    let input = PersonInput {
        middle_name: said.middle_name.clone(),
        date_of_birth: born,
        gender,
        nationality: said.nationality.clone(),
        phone: said.phone.clone(),
        emergency_number: said.emergency_number.clone(),
        address_line1: said.address.clone(),
        city: said.city.clone(),
        region: said.region.clone(),
        postal_code: said.postal_code.clone(),
        country_code,
        country,
        ..PersonInput::named(
            said.first_name.clone(),
            said.last_name.clone(),
            String::new(),
            String::new(),
            String::new(),
        )
    };
    match input.profile() {
        Ok(profile) if problems.is_empty() => return Ok(profile),
        Ok(_) => {}
        Err(refused) => match in_contact("contact_information.", refused) {
            Refused::Problem(refused) => problems.extend(refused.errors),
            failed => return Err(failed),
        },
    }
    Err(invalid(problems).into())
}

/// Names fields as bodies do that hold what of a profile is about reaching somebody below `prefix`.
pub(crate) fn in_contact(prefix: &str, refused: Refused) -> Refused {
    let Refused::Problem(mut problem) = refused else { return refused };
    for error in &mut problem.errors {
        let name = match error.field.as_str() {
            "phone" => "phone_number",
            "emergency_number" => "emergency_number",
            "address_line1" => "street_address",
            "city" => "city",
            "region" => "state",
            "postal_code" => "zip_code",
            "country_code" | "country" => "country",
            _ => continue,
        };
        error.field = format!("{prefix}{name}");
    }
    Refused::Problem(problem)
}
