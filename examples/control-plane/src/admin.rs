//! Administrators of the whole platform, made by commands and by the setup page.

use chrono::NaiveDate;
use stylobate::{
    Platform,
    auth::{AuthError, ContextWords, Email, Identifier, Person},
    core::{PersonId, Problem, RequestContext},
    db::{Scope, Tx},
    rbac::{RbacError, SUPER_ADMIN},
};

use crate::{
    people::{Draft, People, PersonInput, first_password, password_of},
    refused::Refused,
};

/// The role of an organisation that may do everything there.
pub(crate) const ADMIN: &str = "admin";

/// Who the administrator shall be.
pub(crate) struct NewAdmin {
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) details: AdminDetails,
    pub(crate) password: String,
    /// Whether the first sign-in asks for another password.
    pub(crate) must_change_password: bool,
}

/// What else is known about them.
#[derive(Default)]
pub(crate) struct AdminDetails {
    pub(crate) middle_name: Option<String>,
    pub(crate) nationality: Option<String>,
    pub(crate) date_of_birth: Option<NaiveDate>,
    pub(crate) phone: Option<String>,
}

impl NewAdmin {
    fn input(self) -> PersonInput {
        let Self { first_name, last_name, details, email, username, password, must_change_password } = self;
        PersonInput {
            middle_name: details.middle_name,
            nationality: details.nationality,
            date_of_birth: details.date_of_birth,
            phone: details.phone,
            must_change_password: Some(must_change_password),
            ..PersonInput::named(first_name, last_name, email, username, password)
        }
    }
}

/// Makes the administrator, or gives the person who has the name, the address and the password already the roles of one.
///
/// Anybody else who has the name is refused: names and addresses are chosen by whoever makes an account, and one who took
/// the usual ones of an administrator first would become one. Who is a super administrator already stays one, whatever the
/// address and the password.
pub(crate) async fn ensure(
    platform: &Platform,
    process: &'static str,
    new: NewAdmin,
) -> Result<String, Refused> {
    let context = RequestContext::system(process);
    let username = new.username.clone();
    if let Some(person) = find(platform, &username).await? {
        if !is_super_administrator(platform, process, person.id).await? {
            require_password(platform, &context, &username, new.password).await?;
        }
        let email = new.email;
        let (this, context) = (platform.clone(), context.clone());
        platform
            .db()
            .transact(Scope::Platform(process), async move |tx: &mut Tx| {
                require_meant(&this, tx, &person, &email).await?;
                give_roles(&this, tx, &context, person.id).await
            })
            .await?;
        return Ok(format!("{username} is an administrator; the password is unchanged"));
    }
    let people = people(platform);
    let draft = people.prepare(new.input()).await?;
    let this = platform.clone();
    let make = async move |tx: &mut Tx| make_in(&this, tx, &context, &draft).await;
    platform.db().transact(Scope::Platform(process), make).await?;
    Ok(format!("{username} is an administrator"))
}

/// Gives the administrator a new password, which ends its sessions. Tells whether there is such a person.
pub(crate) async fn reset(platform: &Platform, new: &NewAdmin) -> Result<bool, Refused> {
    let Some(person) = find(platform, &new.username).await? else { return Ok(false) };
    let context = RequestContext::system("seed-admin");
    let about = ContextWords::new().username(&new.username).email(&new.email);
    let hash = platform.auth().hash_new_password(&about, password_of(new.password.clone())?).await;
    let hash = hash.map_err(first_password)?;
    let (this, email, must_change) = (platform.clone(), new.email.clone(), new.must_change_password);
    platform
        .db()
        .transact(Scope::Platform("seed-admin"), async move |tx: &mut Tx| {
            require_meant(&this, tx, &person, &email).await?;
            this.auth().set_password(tx, &context, person.id, &hash, must_change).await?;
            give_roles(&this, tx, &context, person.id).await
        })
        .await?;
    Ok(true)
}

/// Makes the administrator inside the caller's transaction.
pub(crate) async fn make_in(
    platform: &Platform,
    tx: &mut Tx,
    context: &RequestContext,
    draft: &Draft,
) -> Result<PersonId, Refused> {
    let person = people(platform).create_in(tx, context, platform.default_org(), draft).await?;
    let id = PersonId::from_uuid(person.id);
    give_roles(platform, tx, context, id).await?;
    Ok(id)
}

pub(crate) fn people(platform: &Platform) -> People {
    let (db, auth, rbac) = (platform.db().clone(), platform.auth().clone(), platform.rbac().clone());
    People::new(db, auth, rbac, platform.tenancy().clone(), platform.notifier().clone())
}

async fn find(platform: &Platform, name: &str) -> Result<Option<Person>, Refused> {
    let mut reader = platform.db().read().await?;
    Ok(stylobate::auth::People::find_by_identifier(&mut reader, &Identifier::new(name)).await?)
}

async fn is_super_administrator(
    platform: &Platform,
    process: &'static str,
    person: PersonId,
) -> Result<bool, Refused> {
    let rbac = platform.rbac().clone();
    let ask = async move |tx: &mut Tx| Ok::<_, Refused>(rbac.super_administrators(tx).await?);
    let holders = platform.db().transact(Scope::Platform(process), ask).await?;
    Ok(holders.contains(&person.into()))
}

/// Refuses when the person who has the name has another password than the administrator shall have.
async fn require_password(
    platform: &Platform,
    context: &RequestContext,
    username: &str,
    password: String,
) -> Result<(), Refused> {
    match platform.auth().verify_login(context, username, password_of(password)?).await {
        Ok(_) => Ok(()),
        Err(AuthError::InvalidCredentials) => {
            let detail = "somebody with another password has this username";
            Err(Problem::new(409, "username_taken").detail(detail).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses when the person who has the name is perhaps not the one who is meant.
async fn require_meant(
    platform: &Platform,
    tx: &mut Tx,
    person: &Person,
    email: &str,
) -> Result<(), Refused> {
    if !person.is_active() {
        let detail = "the person with this username is disabled";
        return Err(Problem::new(409, "person_disabled").detail(detail).into());
    }
    let key = |text: &str| Email::parse(text).map(|email| email.key().to_owned()).ok();
    let has_address = key(email).is_some() && key(email) == key(&person.email);
    if has_address || platform.rbac().super_administrators(tx).await?.contains(&person.id.into()) {
        return Ok(());
    }
    let detail = "somebody with another e-mail address has this username";
    Err(Problem::new(409, "username_taken").detail(detail).into())
}

/// The platform's own role, and the one of the default organisation that its members see.
pub(crate) async fn give_roles(
    platform: &Platform,
    tx: &mut Tx,
    context: &RequestContext,
    person: PersonId,
) -> Result<(), Refused> {
    for (owner, name) in [(None, SUPER_ADMIN), (Some(platform.default_org()), ADMIN)] {
        let rbac = platform.rbac();
        let Some(role) = rbac.role_named(tx, owner, name).await? else { continue };
        let (rbac, context) = (rbac.clone(), context.clone());
        let assign = async move |tx: &mut Tx| rbac.assign_in(tx, &context, owner, person, role.id).await;
        match tx.nested(assign).await {
            // Of the default organisation only its members: who belongs to another one has enough with the platform's.
            Ok(_) | Err(RbacError::AlreadyAssigned | RbacError::NotFound { entity: "subject" }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
