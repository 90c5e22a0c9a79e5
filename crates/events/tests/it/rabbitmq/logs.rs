//! What is logged, at the finest level.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::json;
use stylobate_events::Sink as _;
use tracing_subscriber::filter::LevelFilter;

use super::{
    broker::{Host, event},
    publisher::{letters, publisher, wave},
};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn neither_the_password_nor_the_body_of_an_event_is_logged() {
    let memory = Memory::default();
    let writer = memory.clone();
    tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone()).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let host = Host::new().await;
        let publisher = publisher(host.broker());
        // The test's own connection has logged what it likes.
        memory.0.lock().unwrap().clear();
        let mut returned = event("user.created", "a");
        returned.data = json!({ "name": "Ada-Lovelace" });
        assert_eq!(letters(&publisher.deliver(&wave(&[returned])).await), "r");
        let text = String::from_utf8_lossy(&memory.0.lock().unwrap()).into_owned();
        assert!(text.contains("lapin"), "{text}");
        for secret in ["Ada-Lovelace", host.url().password().unwrap()] {
            let bytes = format!("{:?}", secret.as_bytes());
            assert!(!text.contains(secret) && !text.contains(bytes.trim_matches(['[', ']'])), "{text}");
        }
    });
}
