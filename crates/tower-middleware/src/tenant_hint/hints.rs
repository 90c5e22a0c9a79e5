//! What a request says about the organisation it is for.

use std::fmt;

use http::{HeaderName, Request, Uri};
use stylobate_core::{Problem, TenantId};
use stylobate_tenancy::OrgCode;

use crate::{ApiError, TenantDomain, host::host_of};

/// The query parameters that name an organisation.
pub(super) const PARAMETERS: [&str; 3] = ["organization_id", "org_id", "tenant_id"];

const HEADERS: [(&str, HeaderName); 2] = [
    ("X-Org-Id", HeaderName::from_static("x-org-id")),
    ("X-Tenant-ID", HeaderName::from_static("x-tenant-id")),
];

/// One name of an organisation, and where it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) source: &'static str,
    pub(super) named: Named,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Id(TenantId),
    Code(OrgCode),
}

impl Hint {
    /// Whether it names the organisation `tenant`, whose code is `code`.
    pub(super) fn is_of(&self, tenant: Option<TenantId>, code: Option<&OrgCode>) -> bool {
        match &self.named {
            Named::Id(id) => Some(*id) == tenant,
            Named::Code(named) => Some(named) == code,
        }
    }

    /// Whether both cannot name the same organisation, whichever there are.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        match (&self.named, &other.named) {
            (Named::Id(one), Named::Id(two)) => one != two,
            (Named::Code(one), Named::Code(two)) => one != two,
            _ => false,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Code(code) => code.fmt(f),
        }
    }
}

pub(super) fn invalid(source: &str, code: &'static str, problem: &str) -> ApiError {
    let invalid = Problem::new(400, "tenant_hint_invalid").detail(format!("`{source}` {problem}."));
    invalid.field(source, code, problem).into()
}

/// Every name in `request`, beside those in the `parameters` that were taken out of it.
pub(super) fn read<B>(
    request: &Request<B>,
    parameters: Vec<(&'static str, String)>,
    domain: Option<&TenantDomain>,
) -> Result<Vec<Hint>, ApiError> {
    let mut hints: Vec<Hint> = Vec::new();
    for (source, name) in &HEADERS {
        for value in request.headers().get_all(name) {
            add(&mut hints, source, value.to_str().ok().and_then(id_or_code))?;
        }
    }
    for (source, value) in parameters {
        add(&mut hints, source, id_or_code(&value))?;
    }
    let host = domain.and_then(|_| host_of(request.uri(), request.headers()));
    if let Some(label) = domain.zip(host.as_deref()).and_then(|(domain, host)| domain.label(host)) {
        add(&mut hints, "Host", label.parse().ok().map(Named::Code))?;
    }
    Ok(hints)
}

fn id_or_code(text: &str) -> Option<Named> {
    let id = text.parse().map(Named::Id);
    id.ok().or_else(|| text.parse().ok().map(Named::Code))
}

fn add(hints: &mut Vec<Hint>, source: &'static str, named: Option<Named>) -> Result<(), ApiError> {
    if hints.iter().any(|known| known.source == source) {
        return Err(invalid(source, "duplicate", "is given more than once"));
    }
    let unclear = || invalid(source, "invalid", "is neither the id nor the code of an organisation");
    hints.push(Hint { source, named: named.ok_or_else(unclear)? });
    Ok(())
}

/// Takes the parameters that are called one of `names` out of the query of `uri`; the others stay as they were written.
pub(super) fn take_parameters(
    names: &[&'static str],
    uri: &mut Uri,
) -> Result<Vec<(&'static str, String)>, ApiError> {
    let query = uri.query().unwrap_or_default();
    let hint = |pair: &str| {
        let (name, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
        let name = names.iter().find(|known| **known == name)?;
        Some((*name, value.into_owned()))
    };
    let taken: Vec<_> = query.split('&').filter_map(hint).collect();
    // Nearly all requests: they pay for nothing.
    if taken.is_empty() {
        return Ok(taken);
    }
    let left: Vec<_> = query.split('&').filter(|pair| hint(pair).is_none()).collect();
    let query = left.join("&");
    let text = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(text.parse().map_err(ApiError::internal)?);
    *uri = Uri::from_parts(parts).map_err(ApiError::internal)?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uri: &str) -> (Vec<(&'static str, String)>, String) {
        let mut uri: Uri = uri.parse().unwrap();
        (take_parameters(&PARAMETERS, &mut uri).unwrap(), uri.to_string())
    }

    #[test]
    fn parameters_are_taken_out_and_the_rest_stays_as_it_was() {
        for (uri, expected, left) in [
            ("/people", &[][..], "/people"),
            ("/people?", &[], "/people?"),
            ("/people?limit=5&x=%20a+b&&y", &[], "/people?limit=5&x=%20a+b&&y"),
            ("/people?org_id=7", &[("org_id", "7")], "/people"),
            ("/people?limit=5&org%5Fid=a%20b&x=%2F", &[("org_id", "a b")], "/people?limit=5&x=%2F"),
            ("/people?tenant_id&limit=5", &[("tenant_id", "")], "/people?limit=5"),
            ("/people?org_id=1&org_id=2", &[("org_id", "1"), ("org_id", "2")], "/people"),
            ("https://a.example/x?organization_id=1", &[("organization_id", "1")], "https://a.example/x"),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            assert_eq!(taken(uri), (expected, left.to_owned()), "{uri}");
        }
    }
}
