use std::net::IpAddr;

use crate::{PersonId, Principal, RequestId, TenantId, TraceParent};

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
    /// Whether the caller acts by what the platform gives them, in a tenant that their credential is not of. What they have there
    /// does not count, and who it was is the platform's to know: the tenant is told that the platform did it.
    pub is_for_platform: bool,
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
            is_for_platform: false,
        }
    }

    /// The platform acting by itself, named by what it does.
    #[must_use]
    pub fn system(process: &'static str) -> Self {
        Self { process: Some(process), ..Self::new(Principal::system()) }
    }

    /// The same caller, acting in `tenant` for the platform.
    #[must_use]
    pub fn for_platform_in(&self, tenant: TenantId) -> Self {
        let principal = self.principal.clone().in_tenant(tenant);
        Self { principal, is_for_platform: true, ..self.clone() }
    }

    /// The person who acts, as far as a tenant may know.
    #[must_use]
    pub fn told_person(&self) -> Option<PersonId> {
        self.principal.on_behalf_of().filter(|_| !self.is_for_platform)
    }
}
