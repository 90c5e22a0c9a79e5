/// Why a layer cannot be configured as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The entry is neither an IP address nor a network in CIDR form.
    #[error("`{entry}` is neither an IP address nor a network like `10.0.0.0/8`")]
    ProxyInvalid {
        /// The entry as it was given.
        entry: String,
    },
    /// The network is so wide that anybody could be the proxy.
    #[error("`{entry}` would trust everybody as a proxy")]
    ProxyWildcard {
        /// The entry as it was given.
        entry: String,
    },
    /// The text is not `http(s)://host[:port]`.
    #[error("`{origin}` is not an origin like `https://app.example.com`")]
    OriginInvalid {
        /// The text as it was given.
        origin: String,
    },
    /// The text is not a host name or address.
    #[error("`{host}` is not a host name")]
    HostInvalid {
        /// The text as it was given.
        host: String,
    },
    /// The policy holds characters that no header may hold.
    #[error("the content security policy is not a header value")]
    PolicyInvalid,
    /// The parts of a cookie contradict each other, or one of them is none.
    #[error("the cookie cannot be set: {problem}")]
    CookieInvalid {
        /// What is wrong.
        problem: &'static str,
    },
    /// The internal secret is shorter than 32 bytes, or holds characters that no header carries.
    #[error("the internal secret needs at least 32 visible ASCII characters")]
    InternalSecretWeak,
    /// Two rules are given for one method of one route.
    #[error("{method} {path} has two permissions")]
    PermissionTwice {
        /// The method.
        method: String,
        /// The route template.
        path: String,
    },
}

impl Error {
    /// The stable code of this situation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProxyInvalid { .. } => "proxy_invalid",
            Self::ProxyWildcard { .. } => "proxy_wildcard",
            Self::OriginInvalid { .. } => "origin_invalid",
            Self::HostInvalid { .. } => "host_invalid",
            Self::PolicyInvalid => "policy_invalid",
            Self::CookieInvalid { .. } => "cookie_invalid",
            Self::InternalSecretWeak => "internal_secret_weak",
            Self::PermissionTwice { .. } => "permission_twice",
        }
    }
}
