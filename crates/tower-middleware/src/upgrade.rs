//! What the opening handshake of a WebSocket says (RFC 6455 §4.1).

use http::{HeaderMap, HeaderName, header};

use crate::{ApiError, cookies::ambiguous};

/// The subprotocol whose neighbour is a bearer token. A browser can set no header of its own on this request but names of
/// subprotocols, and it fails unless the server chooses one of those it offered: this one, so that the token is not sent back.
const BEARER: &str = "bearer";

const PROTOCOL: HeaderName = header::SEC_WEBSOCKET_PROTOCOL;

/// Whether a request with these headers asks for a WebSocket.
pub(crate) fn is_socket(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::UPGRADE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// What the subprotocols of a WebSocket's opening handshake say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketProtocols<'a> {
    /// The bearer token among them: the one beside `bearer`, or the only one there is, which is how clients of older systems offer
    /// it. Tokens are never read from the address.
    pub token: Option<&'a str>,
    /// Which one to choose: `bearer`. Those who offer nothing but the token give up unless it is chosen: to them alone it is sent
    /// back.
    pub chosen: Option<&'a str>,
}

impl<'a> SocketProtocols<'a> {
    /// Those of a request with `headers`; none when it asks for no WebSocket.
    ///
    /// # Errors
    /// 400 `ambiguous_credential` when more than one token is offered.
    pub fn of(headers: &'a HeaderMap) -> Result<Self, ApiError> {
        if !is_socket(headers) {
            return Ok(Self::default());
        }
        let mut offered = Vec::new();
        for line in headers.get_all(PROTOCOL) {
            let Ok(line) = line.to_str() else { return Ok(Self::default()) };
            offered.extend(line.split(',').map(str::trim).filter(|name| !name.is_empty()));
        }
        match *offered.as_slice() {
            [BEARER] => Ok(Self { token: None, chosen: Some(BEARER) }),
            // Names of protocols have no two dots; compact tokens do (RFC 7515 §3.1).
            [only] if only.matches('.').count() == 2 => Ok(Self { token: Some(only), chosen: Some(only) }),
            [BEARER, token] | [token, BEARER] if token != BEARER => {
                Ok(Self { token: Some(token), chosen: Some(BEARER) })
            }
            _ if offered.contains(&BEARER) => Err(ambiguous()),
            _ => Ok(Self::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[(&'static str, &str)]) -> Result<(Option<String>, Option<String>), u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        match SocketProtocols::of(&headers) {
            Ok(found) => Ok((found.token.map(str::to_owned), found.chosen.map(str::to_owned))),
            Err(error) => Err(error.problem().status),
        }
    }

    #[test]
    fn the_token_of_a_socket_is_beside_its_marker_or_alone() {
        let with =
            |protocols: &str| found(&[("upgrade", "websocket"), ("sec-websocket-protocol", protocols)]);
        let token = |chosen: &str| Ok((Some("a.b.c".to_owned()), Some(chosen.to_owned())));
        for protocols in ["bearer, a.b.c", "a.b.c,bearer", "  bearer ,, a.b.c "] {
            assert_eq!(with(protocols), token("bearer"), "{protocols}");
        }
        assert_eq!(with("a.b.c"), token("a.b.c"));
        // Whoever has a session cookie may offer it as well.
        assert_eq!(with("bearer"), Ok((None, Some("bearer".to_owned()))));
        for protocols in ["", "graphql-ws", "graphql-ws, a.b.c", "v1.json", "a.b.c.d"] {
            assert_eq!(with(protocols), Ok((None, None)), "{protocols}");
        }
        for protocols in ["bearer, bearer", "bearer, a.b.c, d.e.f"] {
            assert_eq!(with(protocols), Err(400), "{protocols}");
        }
        let lines = [
            ("upgrade", "h2c, WebSocket"),
            ("sec-websocket-protocol", "bearer"),
            ("sec-websocket-protocol", "a.b.c"),
        ];
        assert_eq!(found(&lines), token("bearer"));
    }

    #[test]
    fn other_requests_have_no_token_in_that_header() {
        assert_eq!(found(&[("sec-websocket-protocol", "bearer, a.b.c")]), Ok((None, None)));
        assert_eq!(
            found(&[("upgrade", "h2c"), ("sec-websocket-protocol", "bearer, a.b.c")]),
            Ok((None, None))
        );
    }
}
