use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{
    Asker, Asks, Finding, IdPlace, Operation, Organisation, Request, Rows, Seen, Trial, bodies,
    compare::{differs, is_refused, is_unheard, leaks},
    operations,
    rows::{Mails, fresh_id, uuid7},
};
use crate::{Answer, Client, Engine, Receiver, TestApp};

/// How often is asked what differs: the program moves some things by itself.
const TRIES: u32 = 3;
/// How long to wait before asking again when nobody was listening.
const UNHEARD_WAIT: Duration = Duration::from_millis(300);

/// What lets programs of the operator make organisations.
pub const BOOTSTRAP_SECRET: &str = "3f9a1c5d7e2b4860a9c8d7e6f5b4a392";

/// An installation with two organisations besides its default one.
pub struct World {
    pub(super) site: Site,
    /// Every operation of the API document.
    pub operations: Vec<Operation>,
    /// Where those who ask belong.
    pub home: Organisation,
    /// Where they do not.
    pub foreign: Organisation,
    /// The ids of everything that the foreign organisation has.
    pub(super) secrets: HashSet<String>,
    /// What of the foreign organisation home has asked for: its own trail may say so.
    tried: Mutex<HashSet<String>>,
}

/// What came of asking for the foreign and the missing.
pub(super) enum Compared {
    /// Nothing tells them apart.
    Alike,
    /// Whoever asked may not ask that, whatever the ids.
    Refused,
    /// Nobody listened, so that nothing is proven.
    Unheard(Finding),
    /// Something was told.
    Told(Finding),
}

/// What organisations are made with.
pub(super) struct Site {
    pub(super) app: TestApp,
    pub(super) root: Client,
    pub(super) receiver: Receiver,
    pub(super) mails: Mails,
    next: AtomicU32,
    random: Mutex<fastrand::Rng>,
}

impl Site {
    /// A name that nothing has, beginning with `word`.
    pub(super) fn unique(&self, word: &str) -> String {
        format!("{word}{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// An id that nothing has.
    pub(super) fn fresh_id(&self) -> String {
        fresh_id(&mut self.random.lock().expect("no panic holds it"))
    }
}

/// An id of about the same time that nothing has. What is no id becomes another word.
#[must_use]
pub fn id_like(id: &str, random: &mut fastrand::Rng) -> String {
    let Ok(id) = id.parse::<uuid::Uuid>() else {
        return std::iter::repeat_with(|| random.lowercase()).take(12).collect();
    };
    let time = id.as_u128() >> 80;
    uuid7((time << 80) | (random.u128(..) >> 48)).to_string()
}

impl World {
    /// Makes it. All that is random follows from `seed`.
    ///
    /// # Panics
    /// When something that the organisations need cannot be made.
    pub async fn start(engine: Engine, seed: u64) -> Self {
        let builder = TestApp::builder(engine)
            .env("TENANCY_MODE", "multi")
            .env("BOOTSTRAP_SECRET", BOOTSTRAP_SECRET)
            .env("REGISTRATION", "open")
            .env("LOG_LEVEL", "warn")
            .env("JWT_ACCESS_TTL_MINUTES", "60")
            .env("SESSIONS_MAX", "1000")
            .env("FLOW_ADDRESS_LIMIT", "10000")
            .env("LOGIN_ADDRESS_LIMIT", "10000")
            .env("API_KEY_RATE_MAX", "1000")
            .env("API_KEYS_PER_OWNER_MAX", "100")
            .env("API_KEY_REQUESTS_PER_HOUR", "1000000")
            .env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
            .env("WEBHOOK_INSECURE_ALLOW_HTTP", "true");
        let app = builder.start().await;
        let root = app.administrator().await;
        let operations = operations(&app.anonymous()).await;
        let site = Site {
            app,
            root,
            receiver: Receiver::start().await,
            mails: Mails::default(),
            next: AtomicU32::new(1),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        };
        let home = Organisation::make(&site, "marble").await;
        let foreign = Organisation::make(&site, "porphyry").await;
        let (secrets, tried) = (HashSet::new(), Mutex::default());
        let mut world = Self { site, operations, home, foreign, secrets, tried };
        world.settled().await;
        world.secrets = world.ids_of(&world.foreign.id).await;
        world
    }

    /// The super administrator of the platform.
    #[must_use]
    pub fn root(&self) -> &Client {
        &self.site.root
    }

    /// The installation.
    #[must_use]
    pub fn app(&self) -> &TestApp {
        &self.site.app
    }

    /// The super administrator as an asker.
    #[must_use]
    pub fn root_asks(&self) -> Asker {
        Asker { name: "super administrator", client: self.site.root.clone() }
    }

    /// Who tries `operation`: everybody of home, and nobody in particular where anybody may ask. That another name leads to the
    /// same is shown by one.
    #[must_use]
    pub fn askers_of(&self, operation: &Operation) -> Vec<Asker> {
        let mut askers = Vec::from(self.home.askers());
        if operation.is_alias() {
            askers.truncate(1);
        } else if operation.asks == Asks::Nothing {
            askers.truncate(1);
            askers.push(Asker { name: "anybody", client: self.site.app.anonymous() });
        }
        askers
    }

    /// Who of home may use `operation`, or the platform when nobody there may.
    #[must_use]
    pub fn who_may(&self, operation: &Operation) -> Asker {
        match &operation.asks {
            Asks::Permission(key) if !self.home.may(key) => self.root_asks(),
            _ => Asker { name: "administrator", client: self.home.administrator.client.clone() },
        }
    }

    /// The administrator of home in a session of their own, for what ends the session that asks.
    pub async fn passing_administrator(&self) -> Asker {
        Asker { name: "administrator", client: self.home.administrator_again(&self.site.app).await }
    }

    /// The request of `operation` about `rows`, with `values` in their places.
    #[must_use]
    pub fn request(&self, operation: &Operation, rows: &Rows, values: &[(IdPlace, String)]) -> Request {
        bodies::request(operation, rows, values, &mut || self.site.unique("plain"))
    }

    /// The request of `operation` about the rows of home.
    #[must_use]
    pub fn home_request(&self, operation: &Operation, values: &[(IdPlace, String)]) -> Request {
        self.request(operation, &self.home.rows, values)
    }

    /// Fresh rows of home that nothing else is about.
    pub async fn fresh(&self, keys: &[&str]) -> Rows {
        self.home.fresh(&self.site, keys.iter().copied()).await
    }

    /// A source of picks that follows from the seed.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn random(&self) -> fastrand::Rng {
        self.site.random.lock().expect("no panic holds it").fork()
    }

    /// Asks for the foreign and the missing, and says what tells them apart or shows anything of the foreign organisation.
    pub async fn compare(&self, asker: &Asker, operation: &Operation, trial: &Trial) -> Option<Finding> {
        match self.ask_both(asker, operation, trial).await {
            Compared::Alike | Compared::Refused => None,
            Compared::Unheard(finding) | Compared::Told(finding) => Some(finding),
        }
    }

    /// The same, told from what proves nothing.
    pub(super) async fn ask_both(&self, asker: &Asker, operation: &Operation, sent: &Trial) -> Compared {
        self.tried.lock().expect("no panic holds it").extend(Trial::sent(&sent.foreign).map(str::to_owned));
        let foreign = self.home_request(operation, &sent.foreign);
        let missing = self.home_request(operation, &sent.missing);
        let mut last = Compared::Alike;
        for _ in 0..TRIES {
            let told = foreign.send(&asker.client).await;
            let other = missing.send(&asker.client).await;
            let finding = |what: String| Finding {
                operation: operation.to_string(),
                asker: asker.name,
                place: sent.label.clone(),
                what,
                answers: vec![told.clone(), other.clone()],
            };
            for (answer, values) in [(&told, &sent.foreign), (&other, &sent.missing)] {
                if let Some(leak) = self.leak(operation, answer, Trial::sent(values)) {
                    return Compared::Told(finding(leak));
                }
                if answer.status >= 500 && answer.status != 503 {
                    return Compared::Told(finding("the program failed".to_owned()));
                }
            }
            // Where anybody may ask, wrong tries are counted: that is an answer.
            if operation.asks != Asks::Nothing && (is_unheard(&told) || is_unheard(&other)) {
                last = Compared::Unheard(finding("nobody listens, so that nothing is proven".to_owned()));
                tokio::time::sleep(UNHEARD_WAIT).await;
                continue;
            }
            let told_as = Seen::of(&told, Trial::sent(&sent.foreign));
            let other_as = Seen::of(&other, Trial::sent(&sent.missing));
            match differs(&told_as, &other_as) {
                None if is_refused(&told) => return Compared::Refused,
                None => return Compared::Alike,
                // What was done once may be as missing when it is asked for again.
                Some(what) if !operation.only_reads() => return Compared::Told(finding(what)),
                Some(what) => last = Compared::Told(finding(what)),
            }
        }
        last
    }

    /// What of the foreign organisation is in an answer, beside what was sent; in the trail, beside what was ever asked for.
    ///
    /// # Panics
    /// Never.
    pub fn leak<'a>(
        &self,
        operation: &Operation,
        answer: &Answer,
        sent: impl Iterator<Item = &'a str>,
    ) -> Option<String> {
        let mut sent: Vec<String> = sent.map(str::to_owned).collect();
        if operation.tag == "audit" {
            sent.extend(self.tried.lock().expect("no panic holds it").iter().cloned());
        }
        leaks(answer, sent.iter().map(String::as_str), &self.foreign.word, &self.secrets)
    }
}
