use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use crate::{Answer, Client};

/// What came of redeeming one refresh token many times at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaceOutcome {
    /// How many different refresh tokens were handed out.
    pub successors: usize,
    /// How many of them could be redeemed afterwards.
    pub live_leaves: usize,
    /// Statuses other than success, the refusal of a token (401) and the news that another request redeems it (409).
    pub strange: Vec<u16>,
}

impl RaceOutcome {
    /// Whether the family did not fork and every loser was told so.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.successors <= 1 && self.live_leaves <= 1 && self.strange.is_empty()
    }
}

/// Redeems one refresh token `parallel` times at once, then every successor once.
pub async fn refresh_race(client: &Client, refresh_token: &str, parallel: usize) -> RaceOutcome {
    let redeem = async |token: &str| -> Answer {
        client.anonymous().post("/auth/refresh", json!({ "refresh_token": token })).await
    };
    let answers = join_all((0..parallel).map(|_| redeem(refresh_token))).await;
    let strange = answers
        .iter()
        .map(|answer| answer.status)
        .filter(|status| !matches!(status, 200 | 401 | 409))
        .collect();
    let won = answers.iter().filter(|answer| answer.status == 200);
    let successors: BTreeSet<String> =
        won.filter_map(|answer| answer.json()["refresh_token"].as_str().map(str::to_owned)).collect();
    let mut live_leaves = 0;
    for successor in &successors {
        live_leaves += usize::from(redeem(successor).await.status == 200);
    }
    RaceOutcome { successors: successors.len(), live_leaves, strange }
}
