use stylobate::{
    core::{BoxFuture, PersonId},
    db::Db,
    notify::{Contact, Directory, DirectoryError},
};

use super::{model::PersonView, store};

/// How people are reached, as their profiles say.
pub(crate) struct ProfileDirectory(pub(crate) Db);

impl Directory for ProfileDirectory {
    fn contact(&self, person: PersonId) -> BoxFuture<'_, Result<Option<Contact>, DirectoryError>> {
        Box::pin(async move {
            let mut conn = self.0.read().await.map_err(|error| DirectoryError(Box::new(error)))?;
            let found = store::find_self(&mut conn, person, None).await;
            let found = found.map_err(|error| DirectoryError(Box::new(error)))?;
            Ok(found.filter(|person| person.is_active).map(contact))
        })
    }
}

fn contact(person: PersonView) -> Contact {
    let profile = person.profile;
    let name = profile
        .display_name
        .unwrap_or_else(|| format!("{} {}", profile.first_name, profile.last_name).trim().to_owned());
    Contact {
        name,
        email: Some(person.email),
        is_email_verified: person.email_verified,
        phone: profile.phone,
        // Nobody has proven a number yet.
        is_phone_verified: false,
        locale: profile.locale,
        time_zone: profile.timezone,
    }
}
