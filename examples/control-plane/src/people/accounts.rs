//! The accounts that flows make and change by mailed links.

use chrono::NaiveDate;
use serde_json::{Map, Value};
use stylobate::{
    auth::{ApiKeyError, Person, ServiceAccountError},
    core::{BoxFuture, FieldProblem, PersonId, RequestContext, TenantId},
    db::Tx,
    endpoints::{AccountError, Accounts, NewAccount, NewProfile},
    middleware::IntoProblem as _,
};

use super::{
    model::{Gender, PersonInput, Profile, TEXT_CHARS_MAX, check_text, invalid},
    service::{Draft, People, Refused},
    store,
    told::tell_person,
};

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
            let Some(view) = store::find_self(tx, person.id).await? else { return Ok(()) };
            let key = store::search_key(&view.profile, view.username.as_deref(), &view.email);
            store::put_search_key(tx, person.id, key).await?;
            for membership in self.tenancy.memberships_of(tx, person.id).await? {
                tell_person(tx, context, "user.updated", membership.tenant_id, &view);
            }
            Ok(())
        })
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
        }
    }
}

/// What of a profile is kept, held to the rules of all profiles. What has no column of its own is kept as `metadata`.
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
    let is_code =
        |country: &&String| country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
    let country_code = said.country.as_ref().filter(is_code).cloned();
    let other_country = said.country.clone().filter(|_| country_code.is_none());
    let beside = [
        ("middle_name", "middle_name", &said.middle_name),
        ("nationality", "nationality", &said.nationality),
        ("emergency_number", "contact_information.emergency_number", &said.emergency_number),
        ("country", "contact_information.country", &other_country),
    ];
    let mut metadata = Map::new();
    for (name, field, text) in beside {
        if let Some(text) = text {
            check_text(field, text, TEXT_CHARS_MAX, &mut problems);
            metadata.insert(name.to_owned(), Value::String(text.clone()));
        }
    }
    let input = PersonInput {
        date_of_birth: born,
        gender,
        phone: said.phone.clone(),
        address_line1: said.address.clone(),
        city: said.city.clone(),
        region: said.region.clone(),
        postal_code: said.postal_code.clone(),
        country_code,
        metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
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
        Err(Refused::Problem(refused)) => problems.extend(refused.errors.into_iter().map(as_newcomers_say)),
        Err(failed) => return Err(failed),
    }
    Err(invalid(problems).into())
}

/// Names a field as the bodies of newcomers do.
fn as_newcomers_say(problem: FieldProblem) -> FieldProblem {
    let field = match problem.field.as_str() {
        "phone" => "contact_information.phone_number",
        "address_line1" => "contact_information.street_address",
        "city" => "contact_information.city",
        "region" => "contact_information.state",
        "postal_code" => "contact_information.zip_code",
        "country_code" => "contact_information.country",
        _ => return problem,
    };
    FieldProblem { field: field.to_owned(), ..problem }
}
