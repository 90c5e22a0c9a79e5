use super::{Rule, Things};
use crate::{
    Resource,
    index::{Index, Seed, hash_of_texts, wide},
};

/// All access control lists.
#[derive(Debug)]
pub(super) struct Acls {
    pub(super) texts: Box<str>,
    pub(super) things: Box<[Thing]>,
    /// The numbers of `things` by kind and id.
    pub(super) index: Index<u32>,
    /// Sorted by thing, then by subject.
    pub(super) entries: Box<[Entry]>,
    /// The entries, sorted by subject.
    pub(super) by_subject: Box<[u32]>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Thing {
    pub(super) at: u32,
    pub(super) kind_bytes: u32,
    pub(super) id_bytes: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) thing: u32,
    pub(super) subject: u32,
    pub(super) rule: Rule,
}

impl Acls {
    #[inline]
    pub(super) fn thing(&self, seed: &Seed, things: Things<'_>) -> Option<&Thing> {
        let Things::One(Resource { kind, id: Some(id), .. }) = things else { return None };
        if self.index.is_empty() {
            return None;
        }
        let is = |number: &u32| self.kind_and_id(*number) == (*kind, *id);
        let place = self.index.find(hash_of_texts(seed, [kind, id]), is)?;
        self.things.get(wide(*self.index.get(place)?))
    }

    pub(super) fn kind_and_id(&self, thing: u32) -> (&str, &str) {
        let text = self.things.get(wide(thing)).and_then(|one| {
            let (start, middle) = (wide(one.at), wide(one.at.checked_add(one.kind_bytes)?));
            Some((self.texts.get(start..middle)?, self.texts.get(middle..middle + wide(one.id_bytes))?))
        });
        text.unwrap_or_default()
    }

    pub(super) fn of_subject(&self, subject: u32) -> impl Iterator<Item = &Entry> {
        let entry = |place: &u32| self.entries.get(wide(*place));
        let first =
            self.by_subject.partition_point(|place| entry(place).is_some_and(|one| one.subject < subject));
        let own = self.by_subject.get(first..).unwrap_or_default().iter();
        own.filter_map(entry).take_while(move |one| one.subject == subject)
    }
}
