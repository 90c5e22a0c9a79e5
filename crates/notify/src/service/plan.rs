use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use stylobate_core::{BoxFuture, MessageId};
use stylobate_db::{Scope, Tx};
use uuid::Uuid;

use super::{
    Notifier,
    decide::Decided,
    prepare::{Preparation, Prepared},
};
use crate::{
    DeliveryState, Next, NotifierError, Reason,
    store::{self, messages},
};

pub(super) const SCOPE: Scope = Scope::Platform("plan a message");

impl Notifier {
    /// Decides where an accepted message goes, and writes down its deliveries. Call it again when [`Next::After`] is over; a
    /// message that is planned already is left alone.
    ///
    /// # Errors
    /// The database's own: nothing is planned then.
    pub async fn plan(&self, id: MessageId) -> Result<Next, NotifierError> {
        let now = self.now();
        let Some(before) = self.before(id).await? else { return Ok(Next::Done) };
        let message = before.message.clone();
        if let Some(wait) = super::deliver::wait_until(message.due_at, now) {
            return Ok(Next::After(wait));
        }
        if message.expires_at.is_some_and(|expires_at| expires_at <= now) {
            self.give_up(message, DeliveryState::Dropped, Reason::Expired).await?;
            return Ok(Next::Done);
        }
        match self.prepare(before, now).await {
            Preparation::Ready(prepared) => {
                let this = self.clone();
                let plan = move |all| this.clone().in_one(SCOPE, all, Self::plan_in);
                self.inner.batches.planned.ask(prepared.into(), plan).await?;
                Ok(Next::Done)
            }
            Preparation::Hopeless(state, reason) => {
                self.give_up(message, state, reason).await?;
                Ok(Next::Done)
            }
            Preparation::Later(wait) => {
                self.plan_later(message.id, wait, now).await?;
                Ok(Next::After(wait))
            }
        }
    }

    fn plan_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        all: &'a [Arc<Prepared>],
    ) -> BoxFuture<'a, Result<(), NotifierError>> {
        Box::pin(async move {
            store::lock(tx, all.iter().flat_map(|one| one.locks.clone()).collect()).await?;
            let now = self.now();
            let mut decided = Vec::with_capacity(all.len());
            for round in rounds(all) {
                // A message asked for twice is taken once.
                let mut taken = take(tx, &round).await?;
                let round = round.into_iter().filter(|one| taken.remove(&one.message.id)).collect();
                decided.extend(self.decide(tx, round, now).await?);
            }
            self.write_down(tx, decided, now).await
        })
    }

    /// Ends messages of which nothing is left to do, and hands on what is to be delivered.
    async fn write_down(
        &self,
        tx: &mut Tx,
        decided: Vec<Decided<'_>>,
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let (mut done, mut pending) = (Vec::new(), Vec::new());
        for (Prepared { message, .. }, rows) in decided {
            let before = pending.len();
            for row in rows {
                if row.state == DeliveryState::Pending {
                    pending.push(row.reference());
                } else {
                    self.note_on_commit(tx, row.medium, row.state, now - message.created_at);
                }
            }
            if pending.len() == before {
                done.push(message.id);
            }
        }
        if !done.is_empty() {
            messages::finish(tx, done, now).await?;
        }
        if let Some(dispatch) = &self.inner.dispatch
            && !pending.is_empty()
        {
            dispatch.deliver(tx, pending).await?;
        }
        Ok(())
    }
}

/// Messages in rounds, in which nobody is told twice: what is decided in one counts in the next.
fn rounds(all: &[Arc<Prepared>]) -> Vec<Vec<&Prepared>> {
    let mut rounds: Vec<Vec<&Prepared>> = Vec::new();
    let mut next: HashMap<&str, usize> = HashMap::new();
    for one in all {
        let round = one.locks.iter().filter_map(|lock| next.get(lock.as_str())).max().copied().unwrap_or(0);
        next.extend(one.locks.iter().map(|lock| (lock.as_str(), round + 1)));
        match rounds.get_mut(round) {
            Some(round) => round.push(one),
            None => rounds.push(vec![one]),
        }
    }
    rounds
}

/// Takes messages for planning, and returns those that nobody else was quicker with.
async fn take(tx: &mut Tx, all: &[&Prepared]) -> Result<HashSet<Uuid>, NotifierError> {
    let mut locales: HashMap<Option<&str>, Vec<Uuid>> = HashMap::new();
    for one in all {
        locales.entry(one.locale.as_deref()).or_default().push(one.message.id);
    }
    let mut taken = HashSet::new();
    for (locale, ids) in locales {
        taken.extend(messages::take(tx, ids, locale.map(str::to_owned)).await?);
    }
    Ok(taken)
}
