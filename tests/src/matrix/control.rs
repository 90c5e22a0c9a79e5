//! That a route works at all: with an id of home it says something else than with one that nothing has.

use super::{
    Asks, Finding, IdPlace, Operation, Position, Rows, Seen, Trial, World,
    bodies::named,
    compare::is_refused,
    rows::{NEEDED, row_of},
    samples::sample_at,
};

/// The method, the template and the name of places, and the reason. `*` is all of them.
type Unproven = (&'static str, &'static str, &'static str, &'static str);

/// Places where an id of home says as little as one that nothing has, or is not tried.
pub(super) static UNPROVEN: [Unproven; 11] = [
    ("*", "*", "resource.owner_id", "it is compared with the caller, and nothing is looked up by it"),
    (
        "*",
        "*",
        "question.resource.owner_id",
        "it is compared with the caller, and nothing is looked up by it",
    ),
    ("POST", "/auth/register", "*", "only the default organisation is open to everybody"),
    ("POST", "/auth/invitations/accept", "*", "the link is looked at first"),
    ("POST", "/auth/refresh", "session_id", "the token is looked at first"),
    ("POST", "/v1/bootstrap/organization", "*", "the secret is looked at first"),
    ("DELETE", "/v1/orgs/{id}", "id", "it would end home; the story of two organisations shows it"),
    ("POST", "/v1/orgs/{id}/delete", "id", "it would end home"),
    ("GET", "/v1/events/dead-letters", "organization_id", "nothing was given up"),
    ("POST", "/v1/events/dead-letters/replay", "event_id", "nothing was given up"),
    ("DELETE", "/v1/events/dead-letters/{subscriber}/{event_id}", "event_id", "nothing was given up"),
];

/// What ends the session that asks.
pub(super) const ENDS_ITS_SESSION: [(&str, &str); 3] =
    [("POST", "/auth/switch-org"), ("POST", "/auth/logout"), ("DELETE", "/auth/me")];

impl Operation {
    /// Whether whoever asks has to sign in again afterwards.
    #[must_use]
    pub fn ends_its_session(&self) -> bool {
        ENDS_ITS_SESSION.iter().any(|(method, path)| self.is(method, path))
    }

    /// Why an id of home proves nothing in `place`.
    #[must_use]
    pub fn unproven(&self, place: &IdPlace) -> Option<&'static str> {
        let opaque = place.kind == "resource" && place.position == Position::Body;
        let found = listed_as_unproven(self, place).map(|(.., reason)| *reason);
        found.or(opaque.then_some("nothing is looked up by it"))
    }
}

/// What [`UNPROVEN`] says of a place.
pub(super) fn listed_as_unproven(operation: &Operation, place: &IdPlace) -> Option<&'static Unproven> {
    let is_of = |said: &str, own: &str| said == "*" || said == own;
    UNPROVEN.iter().find(|(method, path, name, _)| {
        is_of(method, operation.method.as_str())
            && is_of(path, &operation.canonical)
            && is_of(name, &place.name)
    })
}

impl World {
    /// Asks with an id of home and with one that nothing has, and says when that makes no difference.
    pub async fn control(&self, operation: &Operation, place: &IdPlace) -> Option<Finding> {
        if operation.is_alias() || place.is_cursor() || operation.unproven(place).is_some() {
            return None;
        }
        let asker = match operation.ends_its_session() {
            true => self.passing_administrator().await,
            false => self.who_may(operation),
        };
        let rows = self.rows_for(operation, place).await;
        let own = |place: &IdPlace| {
            let key = row_of(operation, place);
            rows.get(key).cloned().unwrap_or_else(|| panic!("{operation}: no row of {key}"))
        };
        let trial = Trial::of([place], own, &mut self.random());
        let missing = self.request(operation, &rows, &trial.missing).send(&asker.client).await;
        let told = self.request(operation, &rows, &trial.foreign).send(&asker.client).await;
        let finding = |what: &str| {
            Some(Finding {
                operation: operation.to_string(),
                asker: asker.name,
                place: format!("{place} of home"),
                what: what.to_owned(),
                answers: vec![told.clone(), missing.clone()],
            })
        };
        if told.status == 422 || told.status == 400 {
            return finding("the sample is refused, so that nothing is proven");
        }
        if [401, 429].contains(&told.status) || told.status >= 500 {
            return finding("the route does not work");
        }
        if is_refused(&told) {
            return finding("nobody may use the route, so that nothing is proven");
        }
        let [told_as, missing_as] = [(&told, &trial.foreign), (&missing, &trial.missing)]
            .map(|(answer, values)| Seen::of(answer, Trial::sent(values)));
        if told_as == missing_as { finding("an id of home is as one that nothing has") } else { None }
    }

    /// What is read is asked about rows that have all there is; what is changed, about rows that nothing else needs.
    async fn rows_for(&self, operation: &Operation, place: &IdPlace) -> Rows {
        if operation.only_reads() {
            return self.home.rows.clone();
        }
        let body = sample_at(&operation.method, &operation.canonical, Some(&place.name)).unwrap_or_default();
        let mut keys = named(&body);
        keys.retain(|key| key != "unique");
        keys.extend(operation.ids.iter().map(|place| row_of(operation, place).to_owned()));
        let needed = NEEDED.iter().filter(|(path, _)| *path == operation.canonical);
        keys.extend(needed.map(|(_, key)| (*key).to_owned()));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.fresh(&keys).await
    }

    /// Whether the administrator of home is not allowed what `operation` asks.
    #[must_use]
    pub fn is_of_platform(&self, operation: &Operation) -> bool {
        matches!(&operation.asks, Asks::Permission(key) if !self.home.may(key))
    }
}
