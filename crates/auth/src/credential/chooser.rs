//! Who chose a password, and so may know it.

use stylobate_core::{PersonId, RequestContext, Subject};
use stylobate_db::{Conn, Error, Tx};

/// Whose choice a password is, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChosenBy {
    /// Its owner's, as far as anybody can tell: by a mailed link, or taken from them by the platform itself.
    Owner,
    /// Somebody else's.
    Other,
    /// That of whoever knew the one before: its owner, or who chose that.
    Holder,
}

impl ChosenBy {
    /// Whose choice it is when `ctx` decides about `owner`. The platform acts for people who come in, and for its operator.
    pub(crate) fn of(ctx: &RequestContext, owner: PersonId) -> Self {
        match ctx.principal.subject {
            Subject::System => Self::Owner,
            Subject::Person { id } if id == owner && ctx.principal.impersonator.is_none() => Self::Owner,
            _ => Self::Other,
        }
    }

    /// What the row says from now on; `None` leaves it.
    pub(super) fn mark(self) -> Option<bool> {
        match self {
            Self::Owner => Some(false),
            Self::Other => Some(true),
            Self::Holder => None,
        }
    }
}

/// Whether somebody else chose the person's password; nobody chose one that is not there.
pub(crate) async fn is_chosen_by_other(conn: &mut Conn, person: PersonId) -> Result<bool, Error> {
    let found = conn
        .q("SELECT chosen_by_other FROM credentials WHERE person_id = $1 AND kind = 'password'")
        .bind(person.as_uuid())
        .scalar_opt()
        .await?;
    Ok(found.unwrap_or(false))
}

/// Notes that somebody else may know the person's password, or have one mailed.
pub(crate) async fn mark_chosen_by_other(tx: &mut Tx, person: PersonId) -> Result<(), Error> {
    tx.q("UPDATE credentials SET chosen_by_other = $1 WHERE person_id = $2 AND kind = 'password'")
        .bind(true)
        .bind(person.as_uuid())
        .run()
        .await?;
    Ok(())
}
