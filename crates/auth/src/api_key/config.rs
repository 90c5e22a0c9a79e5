use std::time::Duration;

use serde::Deserialize;

use super::ApiKeyEnvironment;

/// What API keys are given.
///
/// Every field has a default. Unknown fields are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// Whether this is production: keys begin with `sb_live_` there and with `sb_test_` elsewhere, and neither is accepted in
    /// place of the other. Default `false`.
    pub is_live: bool,
    /// How long a key lives when nothing else was asked, in days; 1 to 365, default 90.
    pub ttl_days: u32,
    /// How many live keys an owner has in a tenant; 1 to 100, default 10.
    pub per_owner_max: u32,
    /// How often a key may be used within an hour of the clock when nothing else was asked; 1 to 1,000,000, default 1,000.
    pub requests_per_hour: u32,
    /// How many keys one caller makes in a tenant within `made_window_seconds`, for whomever; 1 to 1,000, default 5.
    pub made_max: u32,
    /// 1 to 86,400, default 60.
    pub made_window_seconds: u32,
}

impl Default for ApiKeyConfig {
    fn default() -> Self {
        Self {
            is_live: false,
            ttl_days: 90,
            per_owner_max: 10,
            requests_per_hour: 1_000,
            made_max: 5,
            made_window_seconds: 60,
        }
    }
}

impl ApiKeyConfig {
    /// Longer than this no key lives, in days, whatever was asked.
    pub const TTL_DAYS_MAX: u32 = 365;
    /// More than this no key may be used within an hour, whatever was asked.
    pub const REQUESTS_PER_HOUR_MAX: u32 = 1_000_000;
    /// The secret before the present one is good for at most this long after a rotation: 30 days.
    pub const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Each number with its name and range.
    pub(crate) fn ranges(&self) -> [(&'static str, u64, u64, u64); 5] {
        let most = u64::from(Self::REQUESTS_PER_HOUR_MAX);
        [
            ("api_keys.ttl_days", self.ttl_days.into(), 1, Self::TTL_DAYS_MAX.into()),
            ("api_keys.per_owner_max", self.per_owner_max.into(), 1, 100),
            ("api_keys.requests_per_hour", self.requests_per_hour.into(), 1, most),
            ("api_keys.made_max", self.made_max.into(), 1, 1_000),
            ("api_keys.made_window_seconds", self.made_window_seconds.into(), 1, 86_400),
        ]
    }

    pub(super) fn environment(&self) -> ApiKeyEnvironment {
        if self.is_live { ApiKeyEnvironment::Live } else { ApiKeyEnvironment::Test }
    }
}
