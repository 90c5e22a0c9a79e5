use std::{collections::HashMap, fmt};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use stylobate_core::{PersonId, SessionId};

use super::{SessionRecord, SessionStore, StoreFuture};
use crate::SessionKey;

/// Sessions in the memory of this process: they end with it, and no other process knows them.
#[derive(Default)]
pub struct MemorySessions(Mutex<Sessions>);

#[derive(Default)]
struct Sessions {
    records: HashMap<SessionKey, SessionRecord>,
    /// A person has few sessions, so that a list per person is searched from one end to the other.
    of_person: HashMap<PersonId, Vec<SessionKey>>,
}

impl MemorySessions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many are kept, those that have run out included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().records.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Sessions {
    fn remove(&mut self, key: SessionKey) -> Option<SessionRecord> {
        let record = self.records.remove(&key)?;
        if let Some(keys) = self.of_person.get_mut(&record.person) {
            keys.retain(|one| *one != key);
            if keys.is_empty() {
                self.of_person.remove(&record.person);
            }
        }
        Some(record)
    }

    /// The keys of a person's live sessions, oldest first; the others are removed.
    fn live(&mut self, person: PersonId, now: DateTime<Utc>) -> Vec<(SessionKey, SessionRecord)> {
        let keys = self.of_person.get(&person).cloned().unwrap_or_default();
        let mut live = Vec::new();
        for key in keys {
            match self.records.get(&key) {
                Some(record) if record.is_live(now) => live.push((key, record.clone())),
                _ => {
                    self.remove(key);
                }
            }
        }
        live.sort_by_key(|(_, record)| (record.created_at, record.id));
        live
    }

    fn insert(&mut self, key: SessionKey, record: &SessionRecord, sessions_max: u32) -> Vec<SessionId> {
        let live = self.live(record.person, record.created_at);
        let too_many = (live.len() + 1).saturating_sub(usize::try_from(sessions_max).unwrap_or(usize::MAX));
        let mut ended = Vec::new();
        for (oldest, session) in live.into_iter().take(too_many) {
            self.remove(oldest);
            ended.push(session.id);
        }
        self.records.insert(key, record.clone());
        self.of_person.entry(record.person).or_default().push(key);
        ended
    }

    fn touch(&mut self, key: SessionKey, now: DateTime<Utc>, idle_expires_at: DateTime<Utc>) -> bool {
        let Some(record) = self.records.get_mut(&key).filter(|record| record.is_live(now)) else {
            return false;
        };
        record.last_seen_at = record.last_seen_at.max(now);
        record.idle_expires_at = record.idle_expires_at.max(idle_expires_at);
        true
    }

    fn rotate(
        &mut self,
        old: SessionKey,
        new: SessionKey,
        proved_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(mut record) = self.remove(old).filter(|record| record.is_live(now)) else { return false };
        record.auth_time = proved_at.unwrap_or(record.auth_time);
        self.of_person.entry(record.person).or_default().push(new);
        self.records.insert(new, record);
        true
    }

    fn end_where(
        &mut self,
        person: PersonId,
        now: DateTime<Utc>,
        ends: impl Fn(SessionId) -> bool,
    ) -> Vec<SessionId> {
        let mut ended = Vec::new();
        for (key, record) in self.live(person, now) {
            if ends(record.id) {
                self.remove(key);
                ended.push(record.id);
            }
        }
        ended
    }

    fn sweep(&mut self, now: DateTime<Utc>) -> u64 {
        let over = self.records.iter().filter(|(_, record)| !record.is_live(now)).map(|(key, _)| *key);
        let over: Vec<SessionKey> = over.take(500).collect();
        let count = over.len() as u64;
        for key in over {
            self.remove(key);
        }
        count
    }
}

/// Nothing here waits: what is decided under the lock is the answer.
fn at_once<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(async move { Ok(value) })
}

impl SessionStore for MemorySessions {
    fn insert<'a>(
        &'a self,
        key: SessionKey,
        record: &'a SessionRecord,
        sessions_max: u32,
    ) -> StoreFuture<'a, Vec<SessionId>> {
        at_once(self.0.lock().insert(key, record, sessions_max))
    }

    fn find(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, Option<SessionRecord>> {
        at_once(self.0.lock().records.get(&key).filter(|record| record.is_live(now)).cloned())
    }

    fn touch(
        &self,
        key: SessionKey,
        now: DateTime<Utc>,
        idle_expires_at: DateTime<Utc>,
    ) -> StoreFuture<'_, bool> {
        at_once(self.0.lock().touch(key, now, idle_expires_at))
    }

    fn rotate(
        &self,
        old: SessionKey,
        new: SessionKey,
        proved_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> StoreFuture<'_, bool> {
        at_once(self.0.lock().rotate(old, new, proved_at, now))
    }

    fn list(&self, person: PersonId, now: DateTime<Utc>) -> StoreFuture<'_, Vec<SessionRecord>> {
        at_once(self.0.lock().live(person, now).into_iter().map(|(_, record)| record).collect())
    }

    fn end(&self, key: SessionKey, now: DateTime<Utc>) -> StoreFuture<'_, bool> {
        at_once(self.0.lock().remove(key).is_some_and(|record| record.is_live(now)))
    }

    fn end_one(&self, person: PersonId, id: SessionId, now: DateTime<Utc>) -> StoreFuture<'_, bool> {
        at_once(!self.0.lock().end_where(person, now, |one| one == id).is_empty())
    }

    fn end_all(
        &self,
        person: PersonId,
        except: Option<SessionId>,
        now: DateTime<Utc>,
    ) -> StoreFuture<'_, Vec<SessionId>> {
        at_once(self.0.lock().end_where(person, now, |one| Some(one) != except))
    }

    fn sweep(&self, now: DateTime<Utc>) -> StoreFuture<'_, u64> {
        at_once(self.0.lock().sweep(now))
    }
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessions").field("len", &self.len()).finish()
    }
}
