//! The cookie of a known device.

use axum::http::{HeaderMap, HeaderValue, header};
use stylobate_auth::DeviceCookie;
use stylobate_tower_middleware::SessionCookie;

fn name(cookies: SessionCookie) -> &'static str {
    match cookies {
        SessionCookie::Host => "__Host-known-device",
        SessionCookie::Plain => "known-device",
    }
}

/// The one value that a request presents. Of several none is believed: whoever can add a cookie to a browser could
/// otherwise choose which one counts.
pub(super) fn presented(cookies: SessionCookie, headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut values = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| str::from_utf8(pair).ok()?.split_once('='))
        .filter(|(found, _)| found.trim() == name(cookies))
        .map(|(_, value)| value.trim());
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// What makes a browser present it at the next sign-in. `Lax`: a sign-in that begins on another site is by the person at
/// the same device all the same, but what another site posts here is not.
pub(super) fn set(cookies: SessionCookie, device: &DeviceCookie) -> HeaderValue {
    let secure = match cookies {
        SessionCookie::Host => "; Secure",
        SessionCookie::Plain => "",
    };
    let text = format!(
        "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        name(cookies),
        device.expose_secret(),
        device.max_age().as_secs(),
    );
    let value = HeaderValue::try_from(text);
    // Base64url and our own words are always a value.
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        presented(SessionCookie::Host, &headers).map(str::to_owned)
    }

    #[test]
    fn one_cookie_of_the_name_is_presented() {
        assert_eq!(found(&["a=b; __Host-known-device=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(found(&["a=b", "__Host-known-device=x"]).as_deref(), Some("x"));
        // The name without the prefix can be set by anybody on a neighbouring host.
        assert_eq!(found(&["known-device=x; __host-known-device=y; x__Host-known-device=z"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn of_two_cookies_none_is_believed() {
        assert_eq!(found(&["__Host-known-device=x; __Host-known-device=y"]), None);
        assert_eq!(found(&["__Host-known-device=x", "__Host-known-device=x"]), None);
    }
}
