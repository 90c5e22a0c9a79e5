use std::time::Duration;

/// How many logins may fail, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// Failed tries in a row of one client on one account, or of one known device, until that client or device is
    /// locked; 1 to 20, default 5.
    pub account_failures_max: u32,
    /// Failed tries in a row of all strangers on one account, until it is locked for strangers; 1 to 80, default 20:
    /// four clients' worth. Higher values count as 80.
    pub strangers_failures_max: u32,
    /// How long the first of these locks lasts; 1 minute to 1 day, default 15 minutes. Each further one lasts twice as
    /// long, up to a day.
    pub lockout: Duration,
    /// Failed tries of one address within the window; 1 to 10,000, default 100: an office behind one address, not a
    /// list of passwords.
    pub address_failures_max: u32,
    /// The window, and the lock that follows; 1 minute to 1 day, default 15 minutes.
    pub address_window: Duration,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        let quarter_hour = Duration::from_secs(15 * 60);
        Self {
            account_failures_max: 5,
            strangers_failures_max: 20,
            lockout: quarter_hour,
            address_failures_max: 100,
            address_window: quarter_hour,
        }
    }
}
