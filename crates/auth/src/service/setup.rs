use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use stylobate_core::{AuditEvent, RequestContext};
use stylobate_db::Tx;
use zeroize::Zeroizing;

use super::{Auth, AuthError, SCOPE};
use crate::{key::random, people, setup_token};

/// The secret of the one-time link that makes the first administrator: 256 random bits in base64url.
///
/// `Debug` prints `[redacted]`; there is no `Display` and no `Serialize`.
pub struct SetupToken(Zeroizing<String>);

/// How long a link is open: whoever installs something finishes the same day. The next start makes a new one.
const OPEN_FOR: TimeDelta = TimeDelta::hours(24);

impl SetupToken {
    /// The text for the link. Show it to the operator alone.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SetupToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupToken([redacted])")
    }
}

impl Auth {
    /// Makes a link for the first administrator, when there is nobody yet; it replaces an earlier one. `None` when there
    /// is somebody.
    ///
    /// # Errors
    /// [`AuthError::Db`], [`AuthError::Key`].
    pub async fn create_setup_token(&self) -> Result<Option<SetupToken>, AuthError> {
        let secret = Zeroizing::new(random::<32>()?);
        let token = SetupToken(Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret)));
        let hash = self.setup_hash(token.expose_secret());
        let now = self.inner.clock.now();
        let made = self
            .inner
            .db
            .transact(SCOPE, async move |tx: &mut Tx| {
                if !people::is_empty(tx).await? {
                    return Ok::<_, AuthError>(false);
                }
                setup_token::put(tx, hash, now, now + OPEN_FOR).await?;
                tx.audit(AuditEvent::new(
                    &RequestContext::system("setup"),
                    "setup_token.create",
                    "setup_token",
                ));
                Ok(true)
            })
            .await?;
        Ok(made.then_some(token))
    }

    /// Whether a link is open, to decide what to show. It decides nothing: [`redeem_setup_token`](Self::redeem_setup_token)
    /// does.
    ///
    /// # Errors
    /// [`AuthError::Db`].
    pub async fn is_setup_token_open(&self, token: &str) -> Result<bool, AuthError> {
        let mut conn = self.inner.db.read().await?;
        Ok(people::is_empty(&mut conn).await?
            && setup_token::is_open(&mut conn, self.setup_hash(token), self.inner.clock.now()).await?)
    }

    /// Takes the link, in the transaction that adds the first administrator. It works once, and only while there is
    /// nobody: call it before the person is inserted.
    ///
    /// # Errors
    /// [`AuthError::SetupTokenInvalid`], [`AuthError::Db`].
    pub async fn redeem_setup_token(&self, tx: &mut Tx, token: &str) -> Result<(), AuthError> {
        let now = self.inner.clock.now();
        // The deletion first: a second transaction with the same link waits for it, and then finds none.
        if !setup_token::consume(tx, self.setup_hash(token), now).await? || !people::is_empty(tx).await? {
            return Err(AuthError::SetupTokenInvalid);
        }
        let event = AuditEvent::new(&RequestContext::system("setup"), "setup_token.redeem", "setup_token");
        tx.audit(event);
        Ok(())
    }

    fn setup_hash(&self, token: &str) -> [u8; 32] {
        self.inner.pepper.digest("setup-token", token.as_bytes())
    }
}
