//! Doubles and drivers for the tests of Stylobate crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken test environment ends the test"
)]

pub mod certificates;
mod clock;
mod database;

pub use clock::ManualClock;
pub use database::{POSTGRES_URL, TestDb};

/// Turns an `async fn(TestDb)` into one test per engine, each with a fresh database migrated with the given sets.
///
/// ```text
/// async fn a_role_is_found_by_name(db: TestDb) { … }
/// stylobate_testkit::both_engines!(a_role_is_found_by_name, &[&MIGRATIONS]);
/// ```
#[macro_export]
macro_rules! both_engines {
    ($test:ident, $sets:expr $(,)?) => {
        mod $test {
            #[allow(unused_imports, reason = "a test may not need anything from around it")]
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let sets: &[&$crate::MigrationSet] = $sets;
                super::$test($crate::TestDb::sqlite(sets).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let sets: &[&$crate::MigrationSet] = $sets;
                super::$test($crate::TestDb::postgres(sets).await).await;
            }
        }
    };
}

pub use stylobate_db::MigrationSet;
