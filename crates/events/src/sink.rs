use std::sync::Arc;

use stylobate_core::BoxFuture;

use crate::{Envelope, Refused};

/// Which types of events a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Types {
    /// Every type, also those that do not exist yet.
    All,
    /// These, by name, in all versions.
    Named(Vec<String>),
}

impl Types {
    /// The types called `names`.
    #[must_use]
    pub fn named<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self::Named(names.into_iter().map(Into::into).collect())
    }
}

/// One event that is owed to one subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The event.
    pub event: Envelope,
    /// Which attempt this is, from 1. Attempts that an outage ended count for nothing.
    pub attempt: u32,
    /// Where the outbox has it.
    pub(crate) place: Place,
}

/// Where a delivery is in the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) ordinal: i64,
    pub(crate) aggregate: i64,
    /// It waits behind a hold of its aggregate, or is the event that is held.
    pub(crate) is_held: bool,
}

impl Delivery {
    /// A delivery that no outbox has, for those who try out a [`Sink`].
    #[must_use]
    pub fn new(event: Envelope) -> Self {
        Self { event, attempt: 1, place: Place::default() }
    }
}

/// What came of a delivery.
#[derive(Debug)]
pub enum Outcome {
    /// The subscriber has it for certain.
    Delivered,
    /// It failed, and it was about this event: it is tried again after a while or given up, and the later events of its
    /// aggregate wait as long.
    Refused(Refused),
    /// Nothing is known, or it was not tried: it stays owed, and this was no attempt. So are the later events of its aggregate.
    Unknown,
    /// The subscriber has it, and the sink has removed the delivery itself, in the transaction of its effects.
    Settled,
}

/// Why nothing can be delivered to a subscriber at present, whatever the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// What an operator should know; no addresses, no credentials.
    pub reason: String,
}

/// What came of a wave.
#[derive(Debug, Default)]
pub struct Report {
    /// One per delivery, in their order. Those that are missing are [`Outcome::Unknown`].
    pub outcomes: Vec<Outcome>,
    /// Whether the relay should leave the subscriber alone for a while: no attempts are counted, nothing is given up.
    pub outage: Option<Outage>,
}

impl Report {
    /// All of it arrived, or what `outcomes` say.
    #[must_use]
    pub fn of(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, outage: None }
    }

    /// None of it was delivered for certain, because of `reason`.
    #[must_use]
    pub fn outage(reason: impl Into<String>) -> Self {
        Self { outcomes: Vec::new(), outage: Some(Outage { reason: reason.into() }) }
    }

    /// The same with an outage in which the wave ended.
    #[must_use]
    pub fn ended_by(mut self, reason: impl Into<String>) -> Self {
        self.outage = Some(Outage { reason: reason.into() });
        self
    }
}

/// Takes events to a subscriber: a broker, a handler in this process.
///
/// A relay calls it with one *wave* at a time, in which no two events are of one aggregate, so all of a wave may be under way at
/// once. The next wave follows when this one's outcomes are known: an event is tried only after the one before it in its
/// aggregate has arrived, has been given up, or is known to be done. An event may come more than once, always with the same id.
pub trait Sink: Send + Sync {
    /// The name of the subscriber: 1 to 64 characters of `a-z 0-9 . _ -`. What is owed to a subscriber is kept under it.
    fn name(&self) -> &str;

    /// What is owed to it from its registration on.
    fn types(&self) -> Types;

    /// Delivers a wave. It bounds its own time, and bears to be dropped: what it was about to say is then unknown.
    fn deliver<'a>(&'a self, wave: &'a [Arc<Delivery>]) -> BoxFuture<'a, Report>;

    /// How many deliveries a wave may have. Default 500.
    fn wave_max(&self) -> usize {
        500
    }
}
