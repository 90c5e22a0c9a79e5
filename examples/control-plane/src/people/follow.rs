//! What the directory follows of accounts that change elsewhere.

use stylobate::{
    auth::Person,
    core::{BoxFuture, RequestContext},
    db::{Error, Tx},
    endpoints::AccountFollower,
};

use super::{service::People, store, told::tell_person};

impl AccountFollower for People {
    fn email_changed<'a>(
        &'a self,
        tx: &'a mut Tx,
        context: &'a RequestContext,
        person: &'a Person,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let Some(view) = store::find_self(tx, person.id).await? else { return Ok(()) };
            let key = store::search_key(&view.profile, view.username.as_deref(), &view.email);
            store::put_search_key(tx, person.id, key).await?;
            let memberships = self.tenancy.memberships_of(tx, person.id).await;
            let memberships = memberships.map_err(|error| match error {
                stylobate::tenancy::Error::Db(error) => error,
                other => Error::Participant(Box::new(other)),
            })?;
            for membership in memberships {
                tell_person(tx, context, "user.updated", membership.tenant_id, &view);
            }
            Ok(())
        })
    }
}
