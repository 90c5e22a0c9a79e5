//! Lets somebody sign in again whom wrong passwords have locked out.

use stylobate::{
    Platform,
    auth::{Identifier, People},
    core::RequestContext,
    db::{Scope, Tx},
};

use crate::{commands::Failed, refused::Refused};

/// Forgets the failed logins of whoever is called `name`, by user name or e-mail address.
pub(crate) async fn unlock(platform: &Platform, name: &str) -> Result<String, Failed> {
    let mut reader = platform.db().read().await?;
    let found = People::find_by_identifier(&mut reader, &Identifier::new(name)).await;
    drop(reader);
    // A script must not believe that somebody was helped.
    let nobody =
        || Failed::Refused("person_not_found".to_owned(), format!("there is nobody called `{name}`"));
    let person = found.map_err(Refused::from)?.ok_or_else(nobody)?;
    let (auth, context) = (platform.auth().clone(), RequestContext::system("unlock"));
    let was_locked = platform
        .db()
        .transact(Scope::Platform("unlock"), async move |tx: &mut Tx| {
            Ok::<bool, Refused>(auth.unlock(tx, &context, person.id).await?)
        })
        .await?;
    let done = if was_locked { "may sign in again" } else { "had no failed logins" };
    Ok(format!("{name} {done}"))
}
