//! The Redis server that processes share counts in.

use secrecy::SecretString;

use super::{Values, secret, table};

#[cfg(feature = "redis")]
pub(super) fn url(values: &mut Values) -> Option<SecretString> {
    let url = secret(values, table::REDIS_URL)?;
    // What is wrong with it may be the password.
    if stylobate_auth::RedisKeyCounts::connect(secrecy::ExposeSecret::expose_secret(&url), "").is_err() {
        let name = values.name(table::REDIS_URL);
        values.problem(name, "is no address of a Redis server: `redis://[:password@]host[:port][/database]`");
    }
    Some(url)
}

#[cfg(not(feature = "redis"))]
pub(super) fn url(values: &mut Values) -> Option<SecretString> {
    if secret(values, table::REDIS_URL).is_some() {
        let name = values.name(table::REDIS_URL);
        values.problem(name, "needs a build with the feature `redis`");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;

    #[test]
    fn only_what_can_be_connected_to_is_taken() {
        for url in ["redis://cache", "redis://:s3cret@127.0.0.1:6379/0"] {
            assert_eq!(settings(&[("REDIS_URL", url)]).is_ok(), cfg!(feature = "redis"), "{url}");
        }
        for url in ["cache:6379", "http://cache", "rediss://cache", "redis://"] {
            assert_eq!(problems(&[("REDIS_URL", url)]), ["REDIS_URL"], "{url}");
        }
        assert!(settings(&[]).unwrap().redis_url.is_none());
    }
}
