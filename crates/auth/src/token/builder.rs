use std::time::Duration;

use stylobate_core::{PersonId, Principal, TenantId};

use super::{AccessClaims, CustomClaims, Signer, TokenError, scopes};

/// An access token in the making; [`Signer::token`] begins one.
///
/// Everything that limits the token only ever narrows: each further [`scopes`](Self::scopes) keeps what was allowed
/// before and now, and nothing here adds to what the person may do.
///
/// ```
/// # fn example(signer: &stylobate_auth::Signer, person: stylobate_core::PersonId, session: stylobate_core::SessionId,
/// #     now: chrono::DateTime<chrono::Utc>) -> Result<(), stylobate_auth::TokenError> {
/// use stylobate_auth::CustomClaims;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Plan {
///     name: String,
/// }
///
/// impl CustomClaims for Plan {
///     const NAME: &'static str = "https://example.org/claims/plan";
/// }
///
/// let token = signer
///     .token(person, session, 1, stylobate_core::Assurance::default(), now)
///     .scopes(["people:*", "roles:read"])
///     .permissions(["people:read"])
///     .custom(&Plan { name: "small".to_owned() })
///     .issue()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is issued before `issue`"]
pub struct TokenBuilder<'a> {
    signer: &'a Signer,
    claims: AccessClaims,
    /// What went wrong first.
    problem: Option<TokenError>,
}

impl<'a> TokenBuilder<'a> {
    pub(super) fn new(signer: &'a Signer, claims: AccessClaims) -> Self {
        Self { signer, claims, problem: None }
    }

    /// On whose behalf.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.claims.tenant = Some(tenant);
        self
    }

    /// Who really acts, during an impersonation.
    pub fn impersonator(mut self, person: PersonId) -> Self {
        self.claims.impersonator = Some(person);
        self
    }

    /// For which client it is issued (RFC 9068 §2.2).
    pub fn client_id(mut self, client: impl Into<String>) -> Self {
        self.claims.client_id = Some(client.into());
        self
    }

    /// Whom it is for as well.
    pub fn also_for(mut self, audience: impl Into<String>) -> Self {
        self.claims.audience.push(audience.into());
        self
    }

    /// How long it lives: at most the configured lifetime, which is also the default. Whole seconds.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.claims.expires_at = self.claims.issued_at + lifetime.min(self.signer.config().lifetime);
        self
    }

    /// Limits it to these scopes (`scope`), and to those it was limited to before.
    pub fn scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        let wanted: Vec<String> = scopes.into_iter().map(Into::into).collect();
        self.claims.scopes = Some(narrowed(self.claims.scopes.as_deref(), wanted));
        self
    }

    /// Limits it to these permissions (`permissions`), and to those it was limited to before.
    pub fn permissions<T: Into<String>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        let wanted: Vec<String> = permissions.into_iter().map(Into::into).collect();
        self.claims.permissions = Some(narrowed(self.claims.permissions.as_deref(), wanted));
        self
    }

    /// Limits it to what `principal` is limited to: a token that somebody passes on can do no more than theirs.
    pub fn within(self, principal: &Principal) -> Self {
        match &principal.scopes {
            Some(scopes) => self.scopes(scopes.iter().cloned()),
            None => self,
        }
    }

    /// Adds a claim of the service's own.
    pub fn custom<T: CustomClaims>(mut self, claims: &T) -> Self {
        match serde_json::to_value(claims) {
            Ok(value) => {
                self.claims.custom.insert(T::NAME.to_owned(), value);
            }
            Err(_) => {
                self.problem.get_or_insert(TokenError::ClaimInvalid(T::NAME));
            }
        }
        self
    }

    /// What the token will say.
    #[must_use]
    pub fn claims(&self) -> &AccessClaims {
        &self.claims
    }

    /// Signs it.
    ///
    /// # Errors
    /// As [`Signer::issue`]; [`TokenError::ClaimInvalid`] for a custom claim that is no JSON or has a name without `://`.
    pub fn issue(self) -> Result<String, TokenError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => self.signer.issue(&self.claims),
        }
    }
}

fn narrowed(before: Option<&[String]>, wanted: Vec<String>) -> Vec<String> {
    match before {
        Some(before) => scopes::common(before, &wanted),
        None => wanted,
    }
}
