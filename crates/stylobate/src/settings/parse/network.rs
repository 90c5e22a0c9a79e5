//! How the service is reached, and what browsers and proxies may do.

use stylobate_tower_middleware::{RefreshCookie, SameSite, TenantDomain};

use super::{
    super::{Environment, source::Values, table},
    flag, list, optional, text,
};

pub(super) fn public_url(values: &mut Values) -> Option<url::Url> {
    let url: url::Url = optional(values, table::PUBLIC_URL, "is not an address")?;
    let is_sound = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_sound || url.query().is_some() || url.fragment().is_some() {
        let name = values.name(table::PUBLIC_URL);
        values.problem(name, "is not a plain http or https address");
        return None;
    }
    Some(url)
}

pub(super) fn tenancy_base_domain(values: &mut Values) -> Option<TenantDomain> {
    let domain = TenantDomain::new(&text(values, table::TENANCY_BASE_DOMAIN)?).ok();
    if domain.is_none() {
        let name = values.name(table::TENANCY_BASE_DOMAIN);
        values.problem(name, "is no name of a domain such as `example.org`");
    }
    domain
}

pub(super) fn cors_origins(values: &mut Values, environment: Environment) -> Vec<String> {
    let Some(origins) = list(values, table::CORS_ORIGINS) else {
        let default = (environment == Environment::Development).then(|| "http://localhost:3000".to_owned());
        return default.into_iter().collect();
    };
    let name = values.name(table::CORS_ORIGINS);
    for origin in &origins {
        let is_origin =
            origin.parse::<url::Url>().is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if !is_origin {
            values.problem(
                name.clone(),
                "lists something that is not an exact origin such as `https://app.example.org`",
            );
        }
    }
    origins
}

pub(super) fn trusted_proxies(values: &mut Values) -> Vec<ipnet::IpNet> {
    let name = values.name(table::TRUSTED_PROXIES);
    let mut networks = Vec::new();
    for item in list(values, table::TRUSTED_PROXIES).unwrap_or_default() {
        let network =
            item.parse().ok().or_else(|| item.parse().ok().map(|address: std::net::IpAddr| address.into()));
        match network {
            Some(network) => {
                let network: ipnet::IpNet = network;
                if network.prefix_len() == 0 {
                    values.problem(name.clone(), "trusts every address, so anybody could forge the client's");
                }
                networks.push(network);
            }
            None => values.problem(name.clone(), "lists something that is neither an address nor a network"),
        }
    }
    networks
}

pub(super) fn refresh_cookie(values: &mut Values) -> Option<RefreshCookie> {
    let is_https = text(values, table::PUBLIC_URL).is_some_and(|url| url.starts_with("https://"));
    let is_secure = flag(values, table::REFRESH_COOKIE_SECURE, is_https);
    let same_site =
        match text(values, table::REFRESH_COOKIE_SAMESITE).unwrap_or_default().to_lowercase().as_str() {
            "" | "lax" => SameSite::Lax,
            "strict" => SameSite::Strict,
            "none" => SameSite::None,
            _ => {
                let name = values.name(table::REFRESH_COOKIE_SAMESITE);
                values.problem(name, "is none of `strict`, `lax`, `none`");
                SameSite::Lax
            }
        };
    let (domain, path) =
        (text(values, table::REFRESH_COOKIE_DOMAIN), text(values, table::REFRESH_COOKIE_PATH));
    let cookie = RefreshCookie::new(text(values, table::REFRESH_COOKIE_NAME)?).and_then(|mut cookie| {
        cookie = cookie.secure(is_secure).same_site(same_site);
        if let Some(domain) = domain {
            cookie = cookie.domain(domain);
        }
        if let Some(path) = path {
            cookie = cookie.path(path);
        }
        cookie.validate().map(|()| cookie)
    });
    match cookie {
        Ok(cookie) => Some(cookie),
        Err(error) => {
            let name = values.name(table::REFRESH_COOKIE_NAME);
            values.problem(name, error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{problems, settings},
        *,
    };

    #[test]
    fn a_proxy_network_of_everybody_is_refused() {
        for wildcard in ["0.0.0.0/0", "::/0", "10.0.0.0/8, 0.0.0.0/0"] {
            assert_eq!(problems(&[("TRUSTED_PROXIES", wildcard)]), ["TRUSTED_PROXIES"], "{wildcard}");
        }
        assert_eq!(settings(&[("TRUSTED_PROXIES", "10.0.0.0/8,::1")]).unwrap().trusted_proxies.len(), 2);
    }

    #[test]
    fn the_domain_of_organisations_is_a_name() {
        let set = settings(&[("TENANCY_BASE_DOMAIN", " Example.org ")]).unwrap();
        assert_eq!(set.tenancy_base_domain, Some(TenantDomain::new("example.org").unwrap()));
        assert_eq!(settings(&[]).unwrap().tenancy_base_domain, None);
        for value in ["*.example.org", "https://example.org", "example.org:80", "127.0.0.1"] {
            assert_eq!(problems(&[("TENANCY_BASE_DOMAIN", value)]), ["TENANCY_BASE_DOMAIN"], "{value}");
        }
    }

    #[test]
    fn a_refresh_cookie_is_set_when_it_has_a_name_and_its_parts_agree() {
        assert!(settings(&[("REFRESH_COOKIE_PATH", "/api/auth")]).unwrap().refresh_cookie.is_none());
        let plain = settings(&[("REFRESH_COOKIE_NAME", "refresh_token")]).unwrap().refresh_cookie.unwrap();
        assert_eq!(plain, RefreshCookie::new("refresh_token").unwrap().secure(false));
        let secure = settings(&[
            ("REFRESH_COOKIE_NAME", "r"),
            ("REFRESH_COOKIE_SAMESITE", "Strict"),
            ("PUBLIC_URL", "https://a.example"),
        ]);
        let expected = RefreshCookie::new("r").unwrap().same_site(SameSite::Strict);
        assert_eq!(secure.unwrap().refresh_cookie.unwrap(), expected);
        for (name, value) in [("REFRESH_COOKIE_PATH", "auth"), ("REFRESH_COOKIE_SAMESITE", "none")] {
            let found = problems(&[("REFRESH_COOKIE_NAME", "refresh_token"), (name, value)]);
            assert_eq!(found, ["REFRESH_COOKIE_NAME"], "{name}");
        }
        assert_eq!(problems(&[("REFRESH_COOKIE_SAMESITE", "often")]), ["REFRESH_COOKIE_SAMESITE"]);
        let weak = problems(&[
            ("APP_ENV", "production"),
            ("REFRESH_COOKIE_NAME", "r"),
            ("REFRESH_COOKIE_SECURE", "false"),
        ]);
        assert!(weak.contains(&"REFRESH_COOKIE_SECURE".to_owned()), "{weak:?}"); // A34
    }
}
