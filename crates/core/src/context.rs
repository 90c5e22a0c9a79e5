use std::net::IpAddr;

use crate::{Principal, RequestId, TraceParent};

/// Who asks, from where, and under which request id: what a service needs to know about its caller.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Who asks.
    pub principal: Principal,
    /// The request that everything done for it is filed under.
    pub request_id: Option<RequestId>,
    /// The client's address, after trusted proxies have been taken off.
    pub address: Option<IpAddr>,
    /// The client's `User-Agent`, at most 512 characters.
    pub user_agent: Option<String>,
    /// The trace of whoever asks, as its request says.
    pub traceparent: Option<TraceParent>,
    /// What a process is doing when no request asked for it, for example `createsuperuser`.
    pub process: Option<&'static str>,
}

impl RequestContext {
    /// A context for `principal` of which nothing else is known.
    #[must_use]
    pub fn new(principal: Principal) -> Self {
        Self {
            principal,
            request_id: None,
            address: None,
            user_agent: None,
            traceparent: None,
            process: None,
        }
    }

    /// The platform acting by itself, named by what it does.
    #[must_use]
    pub fn system(process: &'static str) -> Self {
        Self { process: Some(process), ..Self::new(Principal::system()) }
    }
}
