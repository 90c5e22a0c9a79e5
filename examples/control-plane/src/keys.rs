//! The keys that sign access tokens, from the command line.

use stylobate::{
    Platform,
    auth::{KeyInfo, KeyRing, Rotation},
    core::RequestContext,
};

use crate::commands::Failed;

/// One line for each key, newest first.
pub(crate) async fn list(platform: &Platform) -> Result<String, Failed> {
    let keys = ring(platform)?.list().await?;
    Ok(keys.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Makes a new key that takes over after it has been published for a while, or at once.
pub(crate) async fn rotate(platform: &Platform, when: Rotation) -> Result<String, Failed> {
    let key = ring(platform)?.rotate(&RequestContext::system("keys_rotate"), when).await?;
    Ok(line(&key))
}

/// Withdraws a key: its tokens stop, in running servers within a second.
pub(crate) async fn retire(platform: &Platform, kid: &str) -> Result<String, Failed> {
    let kid = kid.parse()?;
    ring(platform)?.revoke(&RequestContext::system("keys_retire"), &kid).await?;
    Ok(format!("{kid} is withdrawn; whoever holds a token of it has to renew it"))
}

fn ring(platform: &Platform) -> Result<&KeyRing, Failed> {
    platform.auth().key_ring().ok_or(Failed::KeysFromOperator)
}

fn line(key: &KeyInfo) -> String {
    let phase = if key.is_signing { "signing" } else { key.phase.as_str() };
    let time = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%SZ");
    let mut line = format!("{}  {:<6} {phase:<9}  ", key.kid, key.algorithm);
    if key.times.ever_signs() {
        line += &format!("signs from {}", time(key.times.not_before));
        if let Some(at) = key.times.retired_at {
            line += &format!("  until {}", time(at));
        }
    } else {
        line += "never signed";
        if let Some(at) = key.times.retired_at {
            line += &format!("  replaced {}", time(at));
        }
    }
    if let Some(at) = key.times.revoked_at {
        line += &format!("  withdrawn {}", time(at));
    }
    line
}
