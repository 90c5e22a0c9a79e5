use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use stylobate_core::EventId;
use stylobate_events::Envelope;

use super::{
    note::{self, Held, Lane, Note},
    witness::Arrival,
};

/// What the evidence says.
#[derive(Debug, Default)]
pub struct Findings {
    /// Every broken promise, in words; none when all were kept.
    pub problems: Vec<String>,
    /// How many events there were: each of a commit that the database has kept.
    pub events: usize,
    /// How many of them were acknowledged to their writers.
    pub acknowledged: usize,
    /// How many events were emitted and given up before the commit, or with it.
    pub dropped: usize,
    /// How many events never reached the broker's queue.
    pub lost: usize,
    /// How many came that were never committed.
    pub untrue: usize,
    /// How many first came out of order within their subject.
    pub reordered: usize,
    /// How many copies came of events that were known.
    pub copies: usize,
    /// How many of them the broker gave out again because the consumer was cut off; the rest was published again.
    pub redelivered: usize,
    /// How many of them differed from the first in id or body.
    pub differing: usize,
    /// How many in-process effects were missing, double, untrue, or out of order.
    pub misheard: usize,
    /// How many writers died between their commit and the moment anybody heard of it.
    pub crashes: usize,
    /// How many of their last transactions were told of after that; of the rest a relay had read before the end was written down.
    pub told_after_crash: usize,
    /// How many writers died with everything written and nothing committed.
    pub crashes_before: usize,
    /// How often relays killed themselves, by the step at which.
    pub killed_at: BTreeMap<String, usize>,
    /// How often they froze, by the step at which.
    pub frozen_at: BTreeMap<String, usize>,
}

/// More problems than this say nothing more.
const PROBLEMS_MAX: usize = 20;

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events, acknowledged, dropped, lost, untrue, reordered, copies, differing, misheard, ..
        } = self;
        write!(
            f,
            "{events} events ({acknowledged} acknowledged, {dropped} more rolled back): {lost} lost, {untrue} told and never \
             committed, {reordered} out of order, {copies} copies ({} of them the broker's own) of which {differing} differed, {misheard} misheard in process; \
             {} crashes after a commit ({} told of later), {} before; killed at {:?}, frozen at {:?}",
            self.redelivered,
            self.crashes,
            self.told_after_crash,
            self.crashes_before,
            self.killed_at,
            self.frozen_at
        )?;
        for problem in self.problems.iter().take(PROBLEMS_MAX) {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// The order of what was heard, one lane at a time.
#[derive(Default)]
struct Order {
    /// The last sequence in each lane.
    last: HashMap<Lane, u64>,
    /// The last note of each writer in each lane.
    told: HashMap<(Lane, i64), i64>,
}

impl Order {
    /// Whether the note is next: none of its lane is missing before it, and it comes after what its writer said before.
    fn is_next(&mut self, note: &Note, sequence: u64) -> bool {
        let lane = (note::lane_of(note.writer), note.subject.clone());
        let last = self.last.insert(lane.clone(), sequence).unwrap_or_default();
        let told = self.told.insert((lane, note.writer), note.n).unwrap_or_default();
        sequence == last + 1 && told < note.n
    }
}

impl Findings {
    /// Holds what came, and what processes have said, against what is in the database.
    pub(super) fn judge(held: &Held, arrivals: &[Arrival], lines: &[String]) -> Self {
        let mut findings = Self { events: held.facts.len(), ..Self::default() };
        let first_at = findings.check_arrivals(held, arrivals);
        findings.check_heard(held);
        findings.check_lines(held, lines, &first_at);
        findings
    }

    pub(super) fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    /// Returns when each note first came.
    fn check_arrivals(&mut self, held: &Held, arrivals: &[Arrival]) -> HashMap<i64, i64> {
        let mut first: HashMap<EventId, &Arrival> = HashMap::new();
        let mut first_at: HashMap<i64, i64> = HashMap::new();
        let mut order = Order::default();
        for arrival in arrivals {
            let event = match Envelope::from_json(&arrival.body) {
                Ok(event) => event,
                Err(error) => {
                    self.untrue += 1;
                    self.problem(format!("what came as {} is no event: {error}", arrival.id));
                    continue;
                }
            };
            if arrival.id != event.id.to_string() {
                self.differing += 1;
                self.problem(format!("event {} came with the message id {}", event.id, arrival.id));
            }
            if let Some(known) = first.get(&event.id) {
                self.copies += 1;
                self.redelivered += usize::from(arrival.is_redelivered);
                if known.body != arrival.body {
                    self.differing += 1;
                    self.problem(format!("event {} came with two bodies", event.id));
                }
                continue;
            }
            first.insert(event.id, arrival);
            let note = note::number_in(&event).and_then(|n| held.facts.get(&n));
            let Some(note) = note.filter(|note| is_about(&event, note)) else {
                self.untrue += 1;
                self.problem(format!("event {} tells of what was never committed: {}", event.id, event.data));
                continue;
            };
            if first_at.insert(note.n, arrival.at_ms).is_some() {
                self.differing += 1;
                self.problem(format!("note {} was told under two ids", note.n));
                continue;
            }
            if !order.is_next(note, event.sequence) {
                self.reordered += 1;
                self.problem(format!(
                    "note {} of {} came out of order: {}",
                    note.n, note.subject, event.sequence
                ));
            }
        }
        for note in held.facts.values().filter(|note| !first_at.contains_key(&note.n)) {
            self.lost += 1;
            self.problem(format!("note {} was never told of", note.n));
        }
        first_at
    }

    /// A handler in process has had each of them once, in order.
    fn check_heard(&mut self, held: &Held) {
        let mut order = Order::default();
        let mut known = HashSet::new();
        for heard in &held.heard {
            let Some(note) = held.facts.get(&heard.n) else {
                self.misheard += 1;
                self.problem(format!("note {} was heard in process and never committed", heard.n));
                continue;
            };
            let is_new = known.insert(heard.n);
            if !is_new || !order.is_next(note, heard.sequence.unsigned_abs()) {
                self.misheard += 1;
                let why = if is_new { "out of order" } else { "twice" };
                self.problem(format!("note {} was heard in process {why}", heard.n));
            }
        }
        let missing = held.facts.len().saturating_sub(known.len());
        if missing > 0 {
            self.misheard += missing;
            self.problem(format!("{missing} notes were never heard in process"));
        }
    }

    fn check_lines(&mut self, held: &Held, lines: &[String], first_at: &HashMap<i64, i64>) {
        for line in lines {
            let mut words = line.split(' ');
            match words.next() {
                Some("committed") => {
                    for n in numbers(words) {
                        self.acknowledged += 1;
                        if !held.facts.contains_key(&n) {
                            self.problem(format!("note {n} was acknowledged, and the database has lost it"));
                        }
                    }
                }
                Some("dropped") => {
                    for n in numbers(words) {
                        self.dropped += 1;
                        if held.facts.contains_key(&n) {
                            self.problem(format!("note {n} was rolled back, and the database has it"));
                        }
                    }
                }
                Some("crash") => self.check_crash(held, words, first_at),
                Some("killed") => *self.killed_at.entry(words.collect()).or_default() += 1,
                Some("froze") => *self.frozen_at.entry(words.collect()).or_default() += 1,
                Some("thread") if line.contains(" panicked at ") => {
                    self.problem(format!("a process panicked: {line}"))
                }
                _ => {}
            }
        }
    }

    fn check_crash<'a>(
        &mut self,
        held: &Held,
        mut words: impl Iterator<Item = &'a str>,
        first_at: &HashMap<i64, i64>,
    ) {
        let is_committed = words.next() == Some("Committed");
        let at_ms: i64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(i64::MAX);
        let numbers = numbers(words);
        if !is_committed {
            self.crashes_before += 1;
            self.dropped += numbers.len();
            if numbers.iter().any(|n| held.facts.contains_key(n)) {
                self.problem(format!("notes {numbers:?} of a crash before the commit are in the database"));
            }
            return;
        }
        self.crashes += 1;
        self.acknowledged += numbers.len();
        if numbers.iter().any(|n| !held.facts.contains_key(n)) {
            self.problem(format!("notes {numbers:?} were acknowledged, and the database has lost some"));
        }
        let is_later = |n: &i64| first_at.get(n).is_some_and(|first| *first >= at_ms);
        self.told_after_crash += usize::from(numbers.iter().all(is_later));
    }
}

/// Whether the event tells of the note and of no other.
fn is_about(event: &Envelope, note: &Note) -> bool {
    event.subject == note.subject && event.tenant_id == note::lane_of(note.writer)
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Vec<i64> {
    words.filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stylobate_core::{Actor, ActorKind};

    use super::{super::note::Heard, *};

    fn held(notes: i64) -> Held {
        let note = |n| Note { n, subject: "place".to_owned(), writer: 2 };
        Held {
            facts: (1..=notes).map(|n| (n, note(n))).collect(),
            heard: (1..=notes).map(|n| Heard { n, sequence: n }).collect(),
        }
    }

    fn arrival(n: u64, sequence: u64) -> Arrival {
        let event = Envelope {
            id: format!("0198c5f0-0000-7000-8000-{n:012}").parse().unwrap(),
            kind: note::KIND.to_owned(),
            version: 1,
            occurred_at: "2026-11-21T12:00:00Z".parse().unwrap(),
            tenant_id: None,
            actor: Actor { kind: ActorKind::System, id: None },
            subject: "place".to_owned(),
            sequence,
            trace: None,
            data: json!({ "n": n }),
        };
        Arrival { id: event.id.to_string(), body: event.to_json(), is_redelivered: false, at_ms: 10 }
    }

    fn judged(held: &Held, arrivals: &[Arrival]) -> Findings {
        Findings::judge(held, arrivals, &[])
    }

    #[test]
    fn events_in_order_and_equal_copies_are_sound() {
        let arrivals = [arrival(1, 1), arrival(2, 2), arrival(1, 1), arrival(3, 3), arrival(3, 3)];
        let findings = judged(&held(3), &arrivals);
        assert!(findings.problems.is_empty(), "{findings}");
        assert_eq!((findings.events, findings.copies), (3, 2));
    }

    #[test]
    fn what_is_lost_untrue_or_out_of_order_is_noticed() {
        let findings = judged(&held(3), &[arrival(1, 1), arrival(3, 3), arrival(2, 2)]);
        assert_eq!((findings.lost, findings.reordered), (0, 2), "{findings}");
        let findings = judged(&held(3), &[arrival(1, 1), arrival(2, 2)]);
        assert_eq!((findings.lost, findings.reordered), (1, 0), "{findings}");
        let findings = judged(&held(1), &[arrival(1, 1), arrival(2, 2)]);
        assert_eq!((findings.lost, findings.untrue), (0, 1), "{findings}");
    }

    #[test]
    fn copies_with_another_id_or_body_are_noticed() {
        let mut changed = arrival(1, 1);
        changed.body.push(b' ');
        assert_eq!(judged(&held(1), &[arrival(1, 1), changed]).differing, 1);
        let mut renamed = arrival(1, 1);
        renamed.body = String::from_utf8(renamed.body).unwrap().replace("-8000-", "-9000-").into_bytes();
        renamed.id = renamed.id.replace("-8000-", "-9000-");
        assert_eq!(judged(&held(1), &[arrival(1, 1), renamed]).differing, 1);
        let mut mislabelled = arrival(1, 1);
        mislabelled.id = "other".to_owned();
        assert_eq!(judged(&held(1), &[mislabelled]).differing, 1);
    }

    #[test]
    fn effects_in_process_that_are_double_or_missing_are_noticed() {
        let arrivals = [arrival(1, 1), arrival(2, 2)];
        let mut twice = held(2);
        twice.heard.push(Heard { n: 2, sequence: 2 });
        assert_eq!(judged(&twice, &arrivals).misheard, 1);
        let mut missing = held(2);
        missing.heard.pop();
        assert_eq!(judged(&missing, &arrivals).misheard, 1);
        let mut turned = held(2);
        turned.heard.reverse();
        assert_eq!(judged(&turned, &arrivals).misheard, 2);
    }

    #[test]
    fn words_of_writers_are_held_against_the_database() {
        let lines = ["committed 1 9", "dropped 2 8", "crash Committed 5 1", "crash Uncommitted 5 7"];
        let lines = lines.map(str::to_owned);
        let findings = Findings::judge(&held(2), &[arrival(1, 1), arrival(2, 2)], &lines);
        assert_eq!(findings.problems.len(), 2, "{findings}");
        assert_eq!((findings.crashes, findings.told_after_crash, findings.crashes_before), (1, 1, 1));
    }
}
