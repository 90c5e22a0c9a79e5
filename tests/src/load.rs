use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{Client, Ledger};

/// Writers that create people and rename them, until they are stopped or their server is gone.
pub struct Load {
    ledger: Arc<Mutex<Ledger>>,
    is_stopped: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    writers: JoinSet<()>,
}

impl Load {
    /// Starts `writers` whose choices follow from `seed`. `round` keeps the names of different loads apart.
    #[must_use]
    pub fn start(client: &Client, writers: u32, round: u32, seed: u64) -> Self {
        let mut load = Self {
            ledger: Arc::default(),
            is_stopped: Arc::default(),
            acknowledged: Arc::default(),
            writers: JoinSet::new(),
        };
        for number in 0..writers {
            let writer = Writer {
                client: client.clone(),
                ledger: Arc::clone(&load.ledger),
                is_stopped: Arc::clone(&load.is_stopped),
                acknowledged: Arc::clone(&load.acknowledged),
                name: format!("w{round}-{number}"),
                random: fastrand::Rng::with_seed(seed ^ (u64::from(round) << 32) ^ u64::from(number)),
            };
            load.writers.spawn(writer.run());
        }
        load
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops the writers and gives what they know.
    ///
    /// # Panics
    /// When a writer panicked.
    pub async fn stop(mut self) -> Ledger {
        self.is_stopped.store(true, Ordering::Relaxed);
        while let Some(ended) = self.writers.join_next().await {
            ended.expect("no writer panics");
        }
        std::mem::take(&mut *self.ledger.lock().expect("no panic holds it"))
    }
}

struct Writer {
    client: Client,
    ledger: Arc<Mutex<Ledger>>,
    is_stopped: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    name: String,
    random: fastrand::Rng,
}

impl Writer {
    async fn run(mut self) {
        let mut own: Vec<String> = Vec::new();
        for number in 0_u32.. {
            if self.is_stopped.load(Ordering::Relaxed) {
                return;
            }
            if own.is_empty() || self.random.u8(..) < 100 {
                own.extend(self.create(number).await);
            } else {
                let id = own[self.random.usize(..own.len())].clone();
                self.rename(&id, number).await;
            }
        }
    }

    async fn create(&self, number: u32) -> Option<String> {
        let email = format!("{}-{number}@load.example.org", self.name);
        let body = json!({ "first_name": "Load", "last_name": "Writer", "email": email });
        let person = self.write(Method::POST, "/people", &body).await?;
        let id = person["id"].as_str().expect("an id").to_owned();
        self.ledger.lock().expect("no panic holds it").created(&id);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Some(id)
    }

    async fn rename(&self, id: &str, number: u32) {
        let name = format!("{}-{number}", self.name);
        let body = json!({ "display_name": name });
        if let Some(person) = self.write(Method::PATCH, &format!("/people/{id}"), &body).await {
            let version = person["version"].as_i64().expect("a version");
            self.ledger.lock().expect("no panic holds it").renamed(id, version, &name);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The answer when it was acknowledged.
    async fn write(&self, method: Method, path: &str, body: &serde_json::Value) -> Option<serde_json::Value> {
        match self.client.try_send(method, path, Some(body)).await {
            Ok(answer) if answer.is_success() => Some(answer.json()),
            Ok(answer) => {
                self.ledger.lock().expect("no panic holds it").refused(&answer);
                None
            }
            Err(_) => {
                // The server is gone; somebody starts it again or stops this load.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                None
            }
        }
    }
}
