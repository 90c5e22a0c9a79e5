use std::sync::Arc;

use stylobate_auth::{Auth, Email, EmailChange, OneTimeToken};
use stylobate_core::{BoxFuture, RequestContext};
use stylobate_db::{Db, MessageOutbox, Scope, Tx};
use stylobate_tower_middleware::{ApiError, ApiResult};

use super::{AccountError, Accounts, password::password};

/// What the routes of mailed links work with: JSON routes and pages ask the same.
#[derive(Clone)]
pub struct MailedLinks {
    /// Sign-in.
    pub auth: Auth,
    /// Where its tables are.
    pub db: Db,
    /// The accounts that links change.
    pub accounts: Arc<dyn Accounts>,
    /// What mails the links: it has to know the kinds of messages that the methods of [`Auth`] name.
    pub messages: Arc<dyn MessageOutbox>,
}

impl MailedLinks {
    /// Has whoever owns the address `email` mailed a link, as [`Auth::request_password_reset`] says.
    ///
    /// # Errors
    /// 422 naming the field `email` for what is no address; otherwise as there.
    pub async fn request_password_reset(&self, context: &RequestContext, email: &str) -> ApiResult<()> {
        let email = address("email", email)?;
        Ok(self.auth.request_password_reset(context, &email, Arc::clone(&self.messages)).await?)
    }

    /// Sets a new password with the token of a mailed link, as [`Auth::reset_password`] says.
    ///
    /// # Errors
    /// 422 naming the field `new_password` for one that is refused; otherwise as there.
    pub async fn reset_password(
        &self,
        context: &RequestContext,
        token: &str,
        new_password: String,
    ) -> ApiResult<()> {
        let token = self.auth.read_one_time(token)?;
        let new = password("new_password", new_password)?;
        Ok(self.auth.reset_password(context, &token, new).await?)
    }

    /// Takes a link that proves an address, as [`Auth::verify_email`] says.
    ///
    /// # Errors
    /// As there.
    pub async fn verify_email(&self, context: &RequestContext, token: &str) -> ApiResult<()> {
        let token = self.auth.read_one_time(token)?;
        Ok(self.auth.verify_email(context, &token).await?)
    }

    /// Takes a link that gives an account its new address, as [`Auth::confirm_email_change`] says.
    ///
    /// # Errors
    /// As there.
    pub async fn confirm_email_change(&self, context: &RequestContext, token: &str) -> ApiResult<()> {
        let token = self.auth.read_one_time(token)?;
        let (links, job) = (self.clone(), Arc::new((context.clone(), token)));
        let confirm = async move |tx: &mut Tx| links.confirm_in(tx, Arc::clone(&job)).await;
        Ok(self.db.transact(Scope::Platform("sign-in"), confirm).await?)
    }

    fn confirm_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: Arc<(RequestContext, OneTimeToken<EmailChange>)>,
    ) -> BoxFuture<'a, Result<(), AccountError>> {
        Box::pin(async move {
            let (context, token) = &*job;
            let person = self.auth.confirm_email_change(tx, context, token, &*self.messages).await?;
            self.accounts.email_changed(tx, context, &person).await
        })
    }
}

/// The address that somebody typed into `field`.
pub(super) fn address(field: &'static str, typed: &str) -> ApiResult<Email> {
    Email::parse(typed).map_err(|error| ApiError::field(field, error.code(), error.to_string()))
}
