//! What servers that speak TLS show to tests, who find the authority behind it in `stylobate-testkit`.

/// For `127.0.0.1`.
pub const CERTIFICATE: &str = include_str!("../../../crates/testkit/certificates/server.pem");
pub const KEY: &str = include_str!("../../../crates/testkit/certificates/server.key.pem");
