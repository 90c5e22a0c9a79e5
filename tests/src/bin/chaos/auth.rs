//! A6: one refresh token redeemed many times at once.

use stylobate_tests::{Engine, PASSWORD, TestApp, refresh_race};

use crate::{Verdicts, rounds};

const PARALLEL: usize = 50;

pub(crate) async fn run(verdicts: &mut Verdicts) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let rounds = rounds(200);
        let app = TestApp::start(engine).await;
        let (mut unsound, mut successors, mut live) = (Vec::new(), 0, 0);
        for round in 0..rounds {
            let family = app.anonymous().login("admin", PASSWORD).await;
            let outcome = refresh_race(&family, &family.refresh_token, PARALLEL).await;
            successors += outcome.successors;
            live += outcome.live_leaves;
            if !outcome.is_sound() {
                unsound.push(format!("round {round}: {outcome:?}"));
            }
        }
        let figures = format!(
            "{rounds} rounds of {PARALLEL} parallel redemptions, {successors} distinct successors, {live} live leaves, \
             {} unsound rounds {unsound:?}",
            unsound.len()
        );
        verdicts.add(unsound.is_empty(), &format!("auth refresh race on {engine:?} (A6)"), &figures);
    }
}
