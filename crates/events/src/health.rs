use chrono::TimeDelta;
use stylobate_core::{BoxFuture, Health, HealthCheck, HealthStatus};

use crate::Events;

/// For how long an event that nothing holds up is owed before it is asked whether anybody relays.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);

/// Asks whether events reach their subscribers: none is cut off from a relay of this process, none has been owed an event for a
/// minute without a reason, none has dead letters. Not critical: a service serves on, and what is owed stays owed.
#[derive(Clone, Debug)]
pub struct EventsHealth(Events);

impl EventsHealth {
    /// A check of `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self(events)
    }
}

impl HealthCheck for EventsHealth {
    fn name(&self) -> &'static str {
        "events"
    }

    fn is_critical(&self) -> bool {
        false
    }

    fn check(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            let seen = match self.0.glance().await {
                Ok(seen) => seen,
                Err(error) => return degraded(vec![error.code().to_owned()]),
            };
            // What they are owed is for those who may read events: probes answer anybody.
            let mut problems: Vec<String> = Vec::new();
            for (name, ..) in self.0.outages() {
                problems.push(format!("nothing can be delivered to {name}"));
            }
            let before = self.0.present() - PATIENCE;
            let late = seen.iter().filter(|(.., oldest_at)| oldest_at.is_some_and(|at| at < before)).count();
            if late > 0 {
                problems.push(format!("{late} subscribers have been owed events for a while"));
            }
            let dead = seen.iter().filter(|(_, has_dead, _)| *has_dead).count();
            if dead > 0 {
                problems.push(format!("{dead} subscribers have dead letters"));
            }
            if problems.is_empty() { Health::up() } else { degraded(problems) }
        })
    }
}

fn degraded(problems: Vec<String>) -> Health {
    Health { status: HealthStatus::Degraded, detail: Some(problems.join("; ")) }
}
