//! An authority that nothing outside tests trusts, and a server's certificate from it.

/// The authority, in PEM.
pub const AUTHORITY: &str = include_str!("../certificates/authority.pem");
/// What it says about `receiver.test` and `127.0.0.1`, until 2119; not about `localhost`.
pub const CERTIFICATE: &str = include_str!("../certificates/server.pem");
/// The key to it. Everybody has it.
pub const KEY: &str = include_str!("../certificates/server.key.pem");
