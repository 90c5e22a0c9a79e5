use http::{HeaderMap, Uri, Version, header, uri::Authority};
use stylobate_core::Problem;
use stylobate_tenancy::OrgCode;

use crate::{ApiError, Error, TenantDomain};

/// Which hosts the service answers for.
///
/// Whatever is chosen, a request has one host and no more: two `Host` lines, a `Host` that contradicts the request target
/// and (on HTTP/1.1) none at all are refused (RFC 9112 §3.2). Forwarding headers are never asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    /// All of them when there is no list.
    listed: Option<Vec<String>>,
    tenants: Option<TenantDomain>,
}

impl AllowedHosts {
    /// Answers for every host: the default, right behind a proxy that checks it.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Answers for these names and addresses only, whatever the port, and 421 for others.
    ///
    /// # Errors
    /// [`Error::HostInvalid`] for something that is no host.
    pub fn only<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let listed = hosts.into_iter().map(|host| parse_host(host).map(|host| canonical(&host)));
        Ok(Self { listed: Some(listed.collect::<Result<_, _>>()?), tenants: None })
    }

    /// Answers for the addresses of organisations as well.
    #[must_use]
    pub fn and_tenants_of(mut self, domain: TenantDomain) -> Self {
        self.tenants = Some(domain);
        self
    }

    /// Refuses requests whose host is missing (when one is needed), doubled, malformed or not ours.
    pub(crate) fn check(
        &self,
        uri: &Uri,
        version: Version,
        headers: &HeaderMap,
        over_network: bool,
    ) -> Result<(), ApiError> {
        let bad = |detail: &str| Err(Problem::new(400, "bad_host").detail(detail).into());
        let mut lines = headers.get_all(header::HOST).iter();
        let line = lines.next();
        if lines.next().is_some() {
            return bad("The request names more than one host.");
        }
        let named = match line.map(|line| Authority::try_from(line.as_bytes())) {
            Some(Ok(authority)) if is_host_and_port(&authority) => Some(authority),
            Some(_) => return bad("The host is malformed."),
            None => None,
        };
        let host = match (uri.authority(), named.as_ref()) {
            (Some(target), Some(named)) if !target.as_str().eq_ignore_ascii_case(named.as_str()) => {
                return bad("The host contradicts the request target.");
            }
            (Some(target), _) => Some(target),
            (None, named) => named,
        };
        match (host, &self.listed) {
            // A call within the process has no connection and needs no host.
            (None, None) if !over_network || version < Version::HTTP_11 => Ok(()),
            (None, _) => bad("The request names no host."),
            (Some(_), None) => Ok(()),
            (Some(host), Some(listed)) if self.is_ours(&canonical(host), listed) => Ok(()),
            (Some(_), Some(_)) => {
                let detail = "The service does not answer for this host.";
                Err(Problem::new(421, "misdirected_request").detail(detail).into())
            }
        }
    }

    fn is_ours(&self, host: &str, listed: &[String]) -> bool {
        let label = self.tenants.as_ref().and_then(|tenants| tenants.label(host));
        listed.iter().any(|one| one == host) || label.is_some_and(|label| label.parse::<OrgCode>().is_ok())
    }
}

/// A host without a port.
pub(crate) fn parse_host(host: &str) -> Result<Authority, Error> {
    let invalid = || Error::HostInvalid { host: host.to_owned() };
    let authority: Authority = host.parse().map_err(|_| invalid())?;
    if authority.port().is_some() || authority.as_str().contains(['@', '*']) {
        return Err(invalid());
    }
    Ok(authority)
}

/// The host of a request that was checked, in its one spelling.
pub(crate) fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let line = || headers.get(header::HOST).and_then(|line| Authority::try_from(line.as_bytes()).ok());
    uri.authority().map(canonical).or_else(|| line().as_ref().map(canonical))
}

/// RFC 9110 §7.2: a host and at most a port, which is empty or a number of 16 bits.
fn is_host_and_port(authority: &Authority) -> bool {
    let is_port = |text: &str| {
        text.is_empty() || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
    };
    match authority.as_str().strip_prefix(authority.host()) {
        Some(rest) => rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port),
        // A user before the host.
        None => false,
    }
}

/// The host without port, in one spelling: lower case and without the dot of the DNS root.
pub(crate) fn canonical(authority: &Authority) -> String {
    authority.host().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(allowed: &AllowedHosts, target: &str, hosts: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        headers.insert("x-forwarded-host", "app.example.com".parse().unwrap());
        let checked = allowed.check(&target.parse().unwrap(), Version::HTTP_11, &headers, true);
        checked.map_or_else(|error| error.problem().status, |()| 200)
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        // C48
        let any = AllowedHosts::any();
        assert_eq!(status(&any, "/", &["a.example"]), 200);
        assert_eq!(status(&any, "/", &[]), 400);
        assert_eq!(status(&any, "/", &["a.example", "a.example"]), 400);
        assert_eq!(status(&any, "http://a.example/", &["b.example"]), 400);
        assert_eq!(status(&any, "http://a.example/", &["A.example"]), 200);
        assert_eq!(status(&any, "/", &["user@a.example"]), 400);
        assert_eq!(status(&any, "/", &["a.example/x"]), 400);
        for port in ["", "80", "65535", "0080"] {
            assert_eq!(status(&any, "/", &[&format!("a.example:{port}")]), 200, "{port}");
            assert_eq!(status(&any, "/", &[&format!("[::1]:{port}")]), 200, "{port}");
        }
        for port in ["65536", "-1", "+80", "http", "80.evil.example", "80,b.example"] {
            assert_eq!(status(&any, "/", &[&format!("a.example:{port}")]), 400, "{port}");
        }
    }

    #[test]
    fn hosts_outside_the_list_are_misdirected_and_forwarding_headers_do_not_help() {
        // C48
        let only = AllowedHosts::only(["App.example.com", "[::1]", "127.0.0.1"]).unwrap();
        for good in ["app.example.com", "APP.example.com.:8443", "[::1]:80", "127.0.0.1"] {
            assert_eq!(status(&only, "/", &[good]), 200, "{good}");
        }
        for foreign in ["evil.example", "app.example.com.evil.example", "xapp.example.com"] {
            assert_eq!(status(&only, "/", &[foreign]), 421, "{foreign}");
        }
        assert_eq!(status(&only, "/", &[]), 400);
        assert_eq!(status(&only, "http://evil.example/", &[]), 421);
    }

    #[test]
    fn addresses_of_organisations_are_answered_for() {
        let domain = TenantDomain::new("example.org").unwrap();
        let only = AllowedHosts::only(["app.example.com"]).unwrap().and_tenants_of(domain.clone());
        for good in ["app.example.com", "acme.example.org", "ACME-2.example.org:8443"] {
            assert_eq!(status(&only, "/", &[good]), 200, "{good}");
        }
        for foreign in ["example.org", "a.b.example.org", "-.example.org", "acme.example.org.evil.example"] {
            assert_eq!(status(&only, "/", &[foreign]), 421, "{foreign}");
        }
        assert_eq!(status(&AllowedHosts::any().and_tenants_of(domain), "/", &["b.example"]), 200);
    }

    #[test]
    fn a_call_within_the_process_needs_no_host() {
        let check = |allowed: AllowedHosts| {
            allowed.check(&"/".parse().unwrap(), Version::HTTP_11, &HeaderMap::new(), false).is_ok()
        };
        assert!(check(AllowedHosts::any()));
        assert!(!check(AllowedHosts::only(["a.example"]).unwrap()));
    }

    #[test]
    fn entries_that_are_no_hosts_are_refused() {
        for entry in ["*", "*.example.com", "a.example:80", "https://a.example", "a b", ""] {
            assert_eq!(AllowedHosts::only([entry]).unwrap_err().code(), "host_invalid", "{entry}");
        }
    }
}
