use serde::Serialize;

use crate::{Category, QuietHours};

/// When and about what a person is not to be disturbed. What is urgent comes all the same: what concerns security, what is
/// critical, and what is confidential.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Preferences {
    /// When nothing is sent: it waits until their end.
    pub quiet_hours: Option<QuietHours>,
    /// What is found in the product only.
    pub muted: Vec<Category>,
}
