use std::sync::Arc;

use stylobate_auth::{
    Auth, AuthConfig, AuthenticateError, IssuedServiceToken, MIGRATIONS, NewApiKey, NewServiceToken,
    ServiceAccount, ServiceAccountError, ServiceAccountStatus, TokenConfig, VerifiedServiceToken, Verifier,
};
use stylobate_core::{Clock as _, Credential, KeyOwner, PersonId, Principal, RequestContext, Subject};
use stylobate_db::Tx;
use stylobate_testkit::{TestDb, both_engines};

use super::{Background, House, SCOPE, eventually, grants::grant, of_person, present, system, tenant};

const BILLING: &str = "https://billing.example.test";

/// The audience of an installation that says nothing else.
pub(super) const HERE: &str = "stylobate";

pub(super) fn wanted(audience: &str, operations: Option<&[&str]>) -> NewServiceToken {
    let operations = operations.map(|some| some.iter().map(|one| (*one).to_owned()).collect());
    NewServiceToken { audience: audience.to_owned(), operations }
}

impl House {
    /// The request of a program with a key of `account`.
    pub(super) async fn keyed(&self, account: &ServiceAccount, scopes: Option<&[&str]>) -> RequestContext {
        let nobody = PersonId::new(self.clock.now());
        let scopes = scopes.map(|some| some.iter().map(|one| (*one).to_owned()).collect());
        let owner = KeyOwner::Service { id: account.id };
        let new = NewApiKey { owner, scopes, ..of_person(account.tenant_id, nobody) };
        let issued = self.try_key(new).await.unwrap();
        RequestContext::new(present(&self.auth, issued.secret.expose_secret()).await.unwrap())
    }

    pub(super) async fn token(
        &self,
        ctx: &RequestContext,
        wanted: NewServiceToken,
    ) -> Result<IssuedServiceToken, ServiceAccountError> {
        self.auth.service_accounts().issue_token(ctx, wanted).await
    }

    async fn refusal(&self, ctx: &RequestContext, wanted: NewServiceToken) -> &'static str {
        self.token(ctx, wanted).await.map_or_else(|error| error.code(), |_| "ok")
    }
}

/// What the middleware does with the token of a service.
async fn check(auth: &Auth, token: &str) -> Result<Arc<VerifiedServiceToken>, AuthenticateError> {
    match auth.authenticate_service(token) {
        Err(AuthenticateError::Stale) => auth.authenticate_service_slow(token).await,
        decided => decided,
    }
}

pub(super) async fn is_over(auth: &Auth, token: &IssuedServiceToken) -> bool {
    match check(auth, &token.access_token).await {
        Ok(_) => false,
        Err(AuthenticateError::Revoked) => true,
        Err(other) => panic!("{other:?}"),
    }
}

// V13.2.1, V9.2.3
async fn a_service_gets_tokens_for_what_the_registry_has(db: TestDb) {
    let house = House::new(db).await;
    let account = house.service(tenant(&house), "importer").await;
    let ctx = house.keyed(&account, None).await;
    assert_eq!(house.refusal(&ctx, wanted(BILLING, None)).await, "audience_refused");
    let grants = [grant(BILLING, &["invoice.read", "order.*"]), grant(HERE, &["user.read"])];
    house.set_grants(&account, &grants).await.unwrap();

    let all = house.token(&ctx, wanted(BILLING, None)).await.unwrap();
    assert_eq!(all.claims.operations, ["invoice.read", "order.*"]);
    assert_eq!((all.claims.service, all.claims.tenant), (account.id, account.tenant_id));
    assert_eq!((all.claims.audience.as_str(), all.expires_in.as_secs()), (BILLING, 300));
    let issued = house.audit.last("service_token.issue");
    assert!(format!("{issued:?}").contains(&all.claims.id.to_string()), "{issued:?}");
    assert!(!format!("{all:?}{issued:?}").contains(&all.access_token), "A24");
    let some = house.token(&ctx, wanted(BILLING, Some(&["order.read"]))).await.unwrap();
    assert_eq!(some.claims.operations, ["order.read"]);
    for (audience, operations, code) in [
        (BILLING, Some(&["invoice.write"][..]), "audience_refused"),
        (BILLING, Some(&["order.read", "user.read"]), "audience_refused"),
        (BILLING, Some(&["*"]), "audience_refused"),
        ("https://billing.example.test/", None, "audience_refused"),
        ("HTTPS://BILLING.EXAMPLE.TEST", None, "audience_refused"),
        (BILLING, Some(&[]), "validation"),
        (BILLING, Some(&["a b"]), "validation"),
        ("", None, "validation"),
        ("a b", None, "validation"),
    ] {
        assert_eq!(
            house.refusal(&ctx, wanted(audience, operations)).await,
            code,
            "{audience} {operations:?}"
        );
    }
    assert_eq!(house.audit.count("service_token.refuse"), 6);
    assert_eq!(house.audit.count("service_token.issue"), 2);

    // At this installation it is a credential; what is for others is none.
    let own = house.token(&ctx, wanted(HERE, None)).await.unwrap();
    let verified = check(&house.auth, &own.access_token).await.unwrap();
    assert_eq!(verified.principal.subject, Subject::Service { id: account.id });
    assert_eq!(verified.principal.scopes, Some(vec!["user.read".to_owned()]));
    let foreign = check(&house.auth, &all.access_token).await.unwrap_err();
    assert_eq!(foreign.code(), "token_audience_refused");
    // Neither kind passes for the other.
    assert_eq!(house.auth.authenticate(&own.access_token).unwrap_err().code(), "token_type_refused");
    house.person("ada").await;
    let session = house.login("ada", crate::service::PASSWORD).await.unwrap();
    let crossed = check(&house.auth, &session.access_token).await.unwrap_err();
    assert_eq!(crossed.code(), "token_type_refused");
    let config = TokenConfig::new(HERE, BILLING);
    let elsewhere = Verifier::new(house.auth.keys().clone(), config).unwrap();
    let now = house.clock.now();
    assert_eq!(elsewhere.verify(&all.access_token, now).unwrap_err().code(), "token_type_refused");
    house.wait(305);
    let late = check(&house.auth, &own.access_token).await.unwrap_err();
    assert_eq!(late.code(), "token_expired");
}
both_engines!(a_service_gets_tokens_for_what_the_registry_has, &[&MIGRATIONS]);

async fn only_a_service_with_something_that_lasts_gets_tokens(db: TestDb) {
    let house = House::new(db).await;
    let account = house.service(tenant(&house), "importer").await;
    house.set_grants(&account, &[grant(BILLING, &["invoice.read", "order.*"])]).await.unwrap();
    let by = |subject: Subject, credential: Credential| {
        let principal = Principal { subject, credential, ..Principal::anonymous() };
        RequestContext::new(principal.in_tenant(account.tenant_id))
    };
    let service = Subject::Service { id: account.id };
    let signed = by(service, Credential::Signature);
    assert_eq!(house.refusal(&signed, wanted(BILLING, None)).await, "ok");
    let person = PersonId::new(house.clock.now());
    for ctx in [
        // A token does not beget the next.
        by(service, Credential::Bearer),
        by(Subject::Person { id: person }, Credential::Bearer),
        by(Subject::Anonymous, Credential::None),
        RequestContext::new(Principal { tenant: None, ..signed.principal.clone() }),
        system(),
    ] {
        assert_eq!(house.refusal(&ctx, wanted(BILLING, None)).await, "service_required", "{ctx:?}");
    }
    let persons = house.person("ada").await;
    let key = house.try_key(of_person(account.tenant_id, persons.id)).await.unwrap();
    let key = RequestContext::new(present(&house.auth, key.secret.expose_secret()).await.unwrap());
    assert_eq!(house.refusal(&key, wanted(BILLING, None)).await, "service_required");

    // What is narrow begets nothing wider.
    let narrow = house.keyed(&account, Some(&["order.read", "user.*"])).await;
    let token = house.token(&narrow, wanted(BILLING, None)).await.unwrap();
    assert_eq!(token.claims.operations, ["order.read"]);
    for operation in ["invoice.read", "order.*", "order.write", "user.read"] {
        let refused = house.refusal(&narrow, wanted(BILLING, Some(&[operation]))).await;
        assert_eq!(refused, "audience_refused", "{operation}");
    }
    let useless = house.keyed(&account, Some(&["user.read"])).await;
    assert_eq!(house.refusal(&useless, wanted(BILLING, None)).await, "audience_refused");

    // Whoever was disabled a moment ago is nobody.
    house.set_service(&account, ServiceAccountStatus::Disabled).await;
    assert_eq!(house.refusal(&signed, wanted(BILLING, None)).await, "service_account_not_found");
    assert_eq!(house.audit.count("service_token.issue"), 2);
}
both_engines!(only_a_service_with_something_that_lasts_gets_tokens, &[&MIGRATIONS]);

// A5
async fn a_change_of_the_account_ends_its_tokens_everywhere(db: TestDb) {
    let config = AuthConfig { access_ttl_minutes: 1, service_token_ttl_minutes: 60, ..AuthConfig::default() };
    let house = House::with(db, config).await;
    let account = house.service(tenant(&house), "importer").await;
    house.set_grants(&account, &[grant(HERE, &["user.*"])]).await.unwrap();
    let ctx = house.keyed(&account, None).await;
    let elsewhere = house.another_process().await;
    let there = Background::of(&elsewhere).await;
    let first = house.token(&ctx, wanted(HERE, None)).await.unwrap();
    assert_eq!(first.expires_in.as_secs(), 3_600);
    for auth in [&house.auth, &elsewhere] {
        assert!(!is_over(auth, &first).await);
    }
    house.set_grants(&account, &[grant(HERE, &["user.read"])]).await.unwrap();
    assert!(is_over(&house.auth, &first).await);
    eventually("the end elsewhere", async || is_over(&elsewhere, &first).await).await;

    let second = house.token(&ctx, wanted(HERE, None)).await.unwrap();
    assert!(!is_over(&elsewhere, &second).await);
    house.set_service(&account, ServiceAccountStatus::Disabled).await;
    assert!(is_over(&house.auth, &second).await);
    eventually("the end elsewhere", async || is_over(&elsewhere, &second).await).await;
    // Enabled again, it needs new ones; and what was told is told for as long as a token lives.
    house.set_service(&account, ServiceAccountStatus::Active).await;
    house.wait(3_500);
    let late = house.another_process().await;
    assert!(is_over(&late, &second).await);
    let third = house.token(&ctx, wanted(HERE, None)).await.unwrap();
    // Nobody keeps the late one up to date: where memory is stale, the row decides.
    eventually("stale memory", async || !late.revocations().is_fresh()).await;
    for auth in [&house.auth, &elsewhere, &late] {
        assert!(!is_over(auth, &third).await);
    }
    let (accounts, place) = (house.auth.service_accounts().clone(), (account.tenant_id, account.id));
    let delete = async move |tx: &mut Tx| accounts.delete(tx, &system(), place).await;
    house.db.transact(SCOPE, delete).await.unwrap();
    assert!(is_over(&house.auth, &third).await && is_over(&late, &third).await);
    eventually("the end elsewhere", async || is_over(&elsewhere, &third).await).await;
    there.stop().await;
}
both_engines!(a_change_of_the_account_ends_its_tokens_everywhere, &[&MIGRATIONS]);
