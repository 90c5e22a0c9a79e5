//! What every [`SessionStore`] has to pass.

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{PersonId, SessionId, TenantId};

use super::{SessionRecord, SessionSecret, SessionStore};

/// Holds `store` to the rules of [`SessionStore`]. It has to know the persons `ada` and `bob` as active ones, without
/// sessions; `now` is about the present, because stores may also let entries go by their own clock.
///
/// # Panics
/// At the first rule that does not hold.
pub async fn session_conformance(store: &dyn SessionStore, ada: PersonId, bob: PersonId, now: DateTime<Utc>) {
    let suite = Suite { store, ada, bob, now };
    suite.what_is_inserted_is_found_and_nothing_else().await;
    suite.limits_count_at_their_very_moment().await;
    suite.use_moves_the_idle_limit_and_never_back().await;
    suite.a_rotated_secret_is_unknown().await;
    suite.what_has_ended_does_not_come_back().await;
    suite.sessions_of_others_are_left_alone().await;
    suite.above_the_limit_the_oldest_end().await;
    suite.of_two_rotations_at_once_one_happens().await;
    suite.sweeping_takes_only_what_is_over().await;
}

struct Suite<'a> {
    store: &'a dyn SessionStore,
    ada: PersonId,
    bob: PersonId,
    now: DateTime<Utc>,
}

const MANY: u32 = 1_000;

#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite of tests, which fail by panicking")]
impl Suite<'_> {
    fn at(&self, seconds: i64) -> DateTime<Utc> {
        self.now + TimeDelta::seconds(seconds)
    }

    fn record(&self, person: PersonId, created: i64) -> SessionRecord {
        SessionRecord {
            id: SessionId::new(self.at(created)),
            person,
            tenant: Some(TenantId::new(self.now)),
            amr: vec!["pwd".to_owned(), "otp".to_owned()],
            auth_time: self.at(created),
            address: Some([192, 0, 2, 7].into()),
            user_agent: Some("Browser/1 (\"quoted\", ü)".to_owned()),
            created_at: self.at(created),
            last_seen_at: self.at(created),
            idle_expires_at: self.at(created + 3_600),
            expires_at: self.at(created + 86_400),
        }
    }

    async fn begin(&self, person: PersonId, created: i64) -> (SessionSecret, SessionRecord) {
        let (secret, record) = (SessionSecret::generate().unwrap(), self.record(person, created));
        assert_eq!(self.store.insert(secret.key(), &record, MANY).await.unwrap(), []);
        (secret, record)
    }

    async fn find(&self, secret: &SessionSecret, seconds: i64) -> Option<SessionRecord> {
        self.store.find(secret.key(), self.at(seconds)).await.unwrap()
    }

    async fn clear(&self) {
        for person in [self.ada, self.bob] {
            self.store.end_all(person, None, self.now).await.unwrap();
            assert_eq!(self.store.list(person, self.now).await.unwrap(), []);
        }
    }

    async fn what_is_inserted_is_found_and_nothing_else(&self) {
        let (secret, record) = self.begin(self.ada, 0).await;
        assert_eq!(self.find(&secret, 0).await, Some(record.clone()));
        assert_eq!(self.find(&SessionSecret::generate().unwrap(), 0).await, None);
        let bare = SessionRecord {
            tenant: None,
            amr: Vec::new(),
            address: None,
            user_agent: None,
            ..self.record(self.ada, 1)
        };
        let bare_secret = SessionSecret::generate().unwrap();
        self.store.insert(bare_secret.key(), &bare, MANY).await.unwrap();
        assert_eq!(self.find(&bare_secret, 1).await, Some(bare.clone()));
        assert_eq!(self.store.list(self.ada, self.at(1)).await.unwrap(), [record, bare], "oldest first");
        assert_eq!(self.store.list(self.bob, self.at(1)).await.unwrap(), []);
        self.clear().await;
    }

    async fn limits_count_at_their_very_moment(&self) {
        let (secret, _) = self.begin(self.ada, 0).await;
        assert!(self.find(&secret, 3_599).await.is_some());
        assert_eq!(self.find(&secret, 3_600).await, None, "idle");
        assert_eq!(self.store.list(self.ada, self.at(3_600)).await.unwrap(), []);
        assert!(!self.store.touch(secret.key(), self.at(3_600), self.at(9_000)).await.unwrap(), "too late");
        // Used all the time it still ends. Another one: the first is over, and its store may have forgotten it.
        let (secret, _) = self.begin(self.ada, 0).await;
        for hour in 0..24 {
            let used = self.at(hour * 3_600 + 3_000);
            assert!(
                self.store.touch(secret.key(), used, used + TimeDelta::minutes(65)).await.unwrap(),
                "{hour}"
            );
        }
        assert!(self.find(&secret, 86_399).await.is_some());
        assert_eq!(self.find(&secret, 86_400).await, None, "absolute");
        assert!(!self.store.touch(secret.key(), self.at(86_400), self.at(90_000)).await.unwrap());
        assert!(!self.store.end(secret.key(), self.at(86_400)).await.unwrap(), "over already");
        self.clear().await;
    }

    async fn use_moves_the_idle_limit_and_never_back(&self) {
        let (secret, record) = self.begin(self.ada, 0).await;
        assert!(self.store.touch(secret.key(), self.at(600), self.at(4_200)).await.unwrap());
        // A late writer of an earlier use.
        assert!(self.store.touch(secret.key(), self.at(300), self.at(3_900)).await.unwrap());
        let expected =
            SessionRecord { last_seen_at: self.at(600), idle_expires_at: self.at(4_200), ..record };
        assert_eq!(self.find(&secret, 4_199).await, Some(expected));
        assert!(
            !self.store.touch(SessionSecret::generate().unwrap().key(), self.now, self.at(9)).await.unwrap()
        );
        self.clear().await;
    }

    async fn a_rotated_secret_is_unknown(&self) {
        let (old, record) = self.begin(self.ada, 0).await;
        let (new, newest) = (SessionSecret::generate().unwrap(), SessionSecret::generate().unwrap());
        assert!(self.store.rotate(old.key(), new.key(), None, self.at(5)).await.unwrap());
        assert_eq!(self.find(&old, 5).await, None);
        assert_eq!(self.find(&new, 5).await, Some(record.clone()));
        assert!(!self.store.rotate(old.key(), newest.key(), None, self.at(5)).await.unwrap());
        assert!(!self.store.touch(old.key(), self.at(5), self.at(3_605)).await.unwrap());
        assert!(self.store.rotate(new.key(), newest.key(), Some(self.at(6)), self.at(6)).await.unwrap());
        let proved = SessionRecord { auth_time: self.at(6), ..record };
        assert_eq!(self.find(&newest, 6).await, Some(proved.clone()));
        assert_eq!(self.store.list(self.ada, self.at(6)).await.unwrap(), [proved]);
        // Neither what is over nor what was never there is brought back by a rotation.
        assert!(!self.store.rotate(newest.key(), old.key(), None, self.at(3_600)).await.unwrap());
        assert_eq!(self.find(&old, 3_600).await, None);
        self.clear().await;
    }

    async fn what_has_ended_does_not_come_back(&self) {
        let (secret, record) = self.begin(self.ada, 0).await;
        assert!(self.store.end(secret.key(), self.at(1)).await.unwrap());
        assert!(!self.store.end(secret.key(), self.at(1)).await.unwrap());
        assert_eq!(self.find(&secret, 1).await, None);
        assert!(!self.store.touch(secret.key(), self.at(2), self.at(3_602)).await.unwrap());
        assert!(!self.store.rotate(secret.key(), secret.key(), None, self.at(2)).await.unwrap());
        assert!(!self.store.end_one(self.ada, record.id, self.at(2)).await.unwrap());
        assert_eq!(self.find(&secret, 2).await, None);
        self.clear().await;
    }

    async fn sessions_of_others_are_left_alone(&self) {
        let (one, first) = self.begin(self.ada, 0).await;
        let (two, second) = self.begin(self.ada, 1).await;
        let (three, third) = self.begin(self.ada, 2).await;
        let (other, foreign) = self.begin(self.bob, 3).await;
        assert!(!self.store.end_one(self.ada, foreign.id, self.at(3)).await.unwrap());
        assert!(self.store.end_one(self.ada, first.id, self.at(3)).await.unwrap());
        assert_eq!(self.find(&one, 3).await, None);
        assert_eq!(
            self.store.end_all(self.ada, Some(third.id), self.at(3)).await.unwrap(),
            [second.id],
            "all but the one that asks"
        );
        assert_eq!(self.find(&two, 3).await, None);
        assert!(self.find(&three, 3).await.is_some());
        assert!(self.find(&other, 3).await.is_some());
        assert_eq!(self.store.end_all(self.ada, None, self.at(3)).await.unwrap(), [third.id]);
        assert!(self.find(&other, 3).await.is_some());
        self.clear().await;
    }

    async fn above_the_limit_the_oldest_end(&self) {
        let (first, one) = self.begin(self.ada, 0).await;
        let (second, _) = self.begin(self.ada, 1).await;
        let (other, _) = self.begin(self.bob, 1).await;
        let (third, record) = (SessionSecret::generate().unwrap(), self.record(self.ada, 2));
        assert_eq!(self.store.insert(third.key(), &record, 2).await.unwrap(), [one.id]);
        assert_eq!(self.find(&first, 2).await, None);
        for kept in [&second, &third, &other] {
            assert!(self.find(kept, 2).await.is_some());
        }
        // What has idled out takes no room.
        let (late, record) = (SessionSecret::generate().unwrap(), self.record(self.ada, 4_000));
        assert_eq!(self.store.insert(late.key(), &record, 1).await.unwrap(), []);
        self.store.end_all(self.ada, None, self.at(4_000)).await.unwrap();
        self.clear().await;
    }

    async fn of_two_rotations_at_once_one_happens(&self) {
        let (old, _) = self.begin(self.ada, 0).await;
        let (one, two) = (SessionSecret::generate().unwrap(), SessionSecret::generate().unwrap());
        let both = [
            self.store.rotate(old.key(), one.key(), None, self.at(1)),
            self.store.rotate(old.key(), two.key(), None, self.at(1)),
        ];
        let [first, second] = both;
        let (first, second) = tokio::join!(first, second);
        assert!(first.unwrap() ^ second.unwrap());
        let found = [self.find(&one, 1).await, self.find(&two, 1).await];
        assert_eq!(found.iter().flatten().count(), 1);
        assert_eq!(self.store.list(self.ada, self.at(1)).await.unwrap().len(), 1);
        self.clear().await;
    }

    async fn sweeping_takes_only_what_is_over(&self) {
        let (over, _) = self.begin(self.ada, -90_000).await;
        let (live, record) = self.begin(self.ada, 0).await;
        self.store.sweep(self.now).await.unwrap();
        assert_eq!(self.find(&over, 0).await, None);
        assert_eq!(self.find(&live, 0).await, Some(record));
        assert_eq!(self.store.sweep(self.now).await.unwrap(), 0);
        let listed = self.store.list(self.ada, self.now).await.unwrap();
        assert_eq!(listed[0].created_at, self.now);
        self.clear().await;
    }
}
