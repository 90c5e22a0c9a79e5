//! What people are told: notifications in the product, channels, templates, and what came of each message.

mod channels;
mod deliveries;
mod live;
mod notifications;
mod outbox;
mod own_channels;
mod preferences;
mod suppressions;
mod templates;

use stylobate::{Platform, endpoints::Routes};

pub(crate) fn routes(platform: &Platform) -> Routes {
    notifications::routes(platform)
        .and(live::routes(platform))
        .and(channels::routes(platform.notifier()))
        .and(own_channels::routes(platform.notifier()))
        .and(templates::routes(platform.notifier()))
        .and(deliveries::routes(platform.notifier()))
        .and(suppressions::routes(platform.notifier()))
        .and(preferences::routes(platform.notifier()))
        .and(outbox::routes(platform))
}

/// What the routes are listed under in the API document.
const TAG: &str = "notifications";
