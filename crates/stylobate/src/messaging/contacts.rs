use stylobate_auth::People;
use stylobate_core::{BoxFuture, PersonId};
use stylobate_db::Db;
use stylobate_notify::{Contact, Directory, DirectoryError};

/// What sign-in knows of people: a name and an address. Services that know more hand in a directory of their own.
pub(super) struct Contacts(Db);

impl Contacts {
    pub(super) fn new(db: Db) -> Self {
        Self(db)
    }
}

impl Directory for Contacts {
    fn contact(&self, person: PersonId) -> BoxFuture<'_, Result<Option<Contact>, DirectoryError>> {
        Box::pin(async move {
            let mut conn = self.0.read().await.map_err(|error| DirectoryError(Box::new(error)))?;
            let found = People::find(&mut conn, person).await;
            let found = found.map_err(|error| DirectoryError(Box::new(error)))?;
            Ok(found.filter(|person| person.is_active()).map(|person| Contact {
                name: person.username.unwrap_or_default(),
                email: Some(person.email),
                is_email_verified: person.email_verified,
                ..Contact::default()
            }))
        })
    }
}
