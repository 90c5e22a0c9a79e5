use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{PersonId, RequestContext};
use stylobate_db::{Conn, Tx};

use super::{Auth, AuthError};
use crate::{
    AddressKey, Email, OneTimeToken, Person, Purpose, TokenBinding,
    flow_limit::{self, Exceeded, FlowKind, FlowLimit},
    one_time::{self, OneTimeRow},
    people, pepper,
};

/// Nothing that is mailed is good for longer.
const LIFETIME_MAX: Duration = Duration::from_secs(400 * 24 * 3_600);
/// The window in which a client's requests are counted.
const REQUESTS_WITHIN: Duration = Duration::from_secs(300);

/// Single-use tokens, for flows that this crate has no method for.
impl Auth {
    /// Reads the text of a token, without asking the database.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`] for what this installation did not draw for this purpose.
    pub fn read_one_time<P: Purpose>(&self, text: &str) -> Result<OneTimeToken<P>, AuthError> {
        OneTimeToken::parse(&self.inner.pepper, text).ok_or(AuthError::LinkInvalid)
    }

    /// Draws a token that is good for `lifetime`, at most 400 days, in the transaction that sends it on its way.
    ///
    /// # Errors
    /// [`AuthError::Key`] when there is no randomness, [`AuthError::Db`].
    pub async fn issue_one_time<P: Purpose>(
        &self,
        tx: &mut Tx,
        binding: TokenBinding,
        lifetime: Duration,
    ) -> Result<OneTimeToken<P>, AuthError> {
        let token = self.draw_one_time()?;
        self.keep_one_time(tx, &token, binding, lifetime).await?;
        Ok(token)
    }

    /// Draws a token that nothing knows yet: before a transaction that may run several times.
    pub(super) fn draw_one_time<P: Purpose>(&self) -> Result<OneTimeToken<P>, AuthError> {
        Ok(OneTimeToken::draw(&self.inner.pepper, self.inner.clock.now())?)
    }

    pub(super) async fn keep_one_time<P: Purpose>(
        &self,
        tx: &mut Tx,
        token: &OneTimeToken<P>,
        binding: TokenBinding,
        lifetime: Duration,
    ) -> Result<(), AuthError> {
        let now = self.inner.clock.now();
        let lifetime = lifetime.min(LIFETIME_MAX);
        let expires_at =
            TimeDelta::from_std(lifetime).ok().and_then(|lifetime| now.checked_add_signed(lifetime));
        let row = OneTimeRow {
            token_hash: token.digest(&self.inner.pepper, &binding),
            binding,
            expires_at: expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC),
        };
        Ok(one_time::insert(tx, token.id(), P::WORD, &row, now).await?)
    }

    /// What a token is bound to, while it is good: to decide what to show. Only [`redeem_one_time`](Self::redeem_one_time) decides.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`], [`AuthError::Db`].
    pub async fn peek_one_time<P: Purpose>(
        &self,
        conn: &mut Conn,
        token: &OneTimeToken<P>,
    ) -> Result<TokenBinding, AuthError> {
        let row = one_time::find(conn, token.id(), P::WORD, self.inner.clock.now()).await?;
        self.binding_of(token, row)
    }

    /// Takes a token away, in the transaction that does what it is for: of many at once one gets it. An error leaves it where it is,
    /// provided the transaction ends with it. What the token is about is locked before, by what [`peek_one_time`](Self::peek_one_time)
    /// says: two tokens of one subject would wait for each other otherwise.
    ///
    /// # Errors
    /// [`AuthError::LinkInvalid`] when it was used, has run out, or its row was changed; [`AuthError::Db`].
    pub async fn redeem_one_time<P: Purpose>(
        &self,
        tx: &mut Tx,
        token: &OneTimeToken<P>,
    ) -> Result<TokenBinding, AuthError> {
        let row = one_time::take(tx, token.id(), P::WORD, self.inner.clock.now()).await?;
        self.binding_of(token, row)
    }

    /// Takes a link of a person away, who is locked and may sign in.
    pub(super) async fn redeem_for_person<P: Purpose>(
        &self,
        tx: &mut Tx,
        token: &OneTimeToken<P>,
    ) -> Result<(Person, TokenBinding), AuthError> {
        let id = PersonId::from_uuid(self.peek_one_time(tx, token).await?.subject);
        let person = people::lock(tx, id).await?.filter(Person::is_active).ok_or(AuthError::LinkInvalid)?;
        Ok((person, self.redeem_one_time(tx, token).await?))
    }

    /// A link counts for a person, at the address that is theirs now, until anything voids what was issued to them.
    pub(super) fn personal_binding(&self, person: &Person) -> Result<TokenBinding, AuthError> {
        let binding =
            TokenBinding { epoch: Some(person.credential_epoch), ..TokenBinding::to(person.id.as_uuid()) };
        // What is stored was an address when it was typed.
        let address = Email::parse(&person.email).map_err(|_| AuthError::LinkInvalid)?;
        Ok(binding.address(&self.inner.pepper, &address))
    }

    /// Counts a request of a client for a mailed link. Clients whose address is not known are not counted: they would be one.
    pub(super) async fn count_client(
        &self,
        tx: &mut Tx,
        kind: FlowKind,
        ctx: &RequestContext,
        now: DateTime<Utc>,
    ) -> Result<Result<(), Exceeded>, AuthError> {
        let client = AddressKey::new(ctx.address);
        if client == AddressKey::Unknown {
            return Ok(Ok(()));
        }
        let limit = FlowLimit { most: self.inner.config.flow_address_limit, within: REQUESTS_WITHIN };
        Ok(flow_limit::count(tx, kind, client.as_bytes(), limit, now).await?)
    }

    fn binding_of<P: Purpose>(
        &self,
        token: &OneTimeToken<P>,
        row: Option<OneTimeRow>,
    ) -> Result<TokenBinding, AuthError> {
        let row = row.ok_or(AuthError::LinkInvalid)?;
        let expected = token.digest(&self.inner.pepper, &row.binding);
        if !pepper::equal(&expected, &row.token_hash) {
            return Err(AuthError::LinkInvalid);
        }
        Ok(row.binding)
    }
}
