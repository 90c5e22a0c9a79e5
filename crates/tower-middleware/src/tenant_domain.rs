use std::net::IpAddr;

use crate::{
    Error,
    host::{canonical, parse_host},
};

/// The domain below which each organisation has an address of its own: `acme.example.org` is that of `acme`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantDomain {
    base: String,
    /// Names below it that are no organisation's.
    own: Vec<String>,
}

impl TenantDomain {
    /// The domain `base`.
    ///
    /// # Errors
    /// [`Error::HostInvalid`] for something that is no name of a host.
    pub fn new(base: &str) -> Result<Self, Error> {
        let base = canonical(&parse_host(base)?);
        let is_address = base.starts_with('[') || base.parse::<IpAddr>().is_ok();
        if is_address || base.is_empty() {
            return Err(Error::HostInvalid { host: base });
        }
        Ok(Self { base, own: Vec::new() })
    }

    /// The name `host` below it is the service's own. Default: all names are organisations'.
    ///
    /// # Errors
    /// [`Error::HostInvalid`] for something that is no host.
    pub fn and_own(mut self, host: &str) -> Result<Self, Error> {
        self.own.push(canonical(&parse_host(host)?));
        Ok(self)
    }

    /// What stands before the domain in `host`, which is in its one spelling; nothing for hosts that are not below it.
    pub(crate) fn label<'a>(&self, host: &'a str) -> Option<&'a str> {
        let label = host.strip_suffix(self.base.as_str())?.strip_suffix('.')?;
        (!self.own.iter().any(|own| own == host)).then_some(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_the_domain_are_organisations_and_others_are_not() {
        let domain = TenantDomain::new("Example.org.").unwrap().and_own("App.example.org").unwrap();
        assert_eq!(domain.label("acme.example.org"), Some("acme"));
        assert_eq!(domain.label("a.b.example.org"), Some("a.b"));
        for other in
            ["example.org", "app.example.org", "acmeexample.org", "acme.example.com", "example.org.evil"]
        {
            assert_eq!(domain.label(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_name_of_a_host_is_refused() {
        for base in
            ["", ".", "127.0.0.1", "[::1]", "*.example.org", "example.org:80", "https://example.org", "a b"]
        {
            assert_eq!(TenantDomain::new(base).map_err(|error| error.code()), Err("host_invalid"), "{base}");
        }
    }
}
