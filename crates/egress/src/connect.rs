use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use url::Host;

use crate::{AddressPolicy, Error, Lookup, Target};

/// How many addresses of a name are tried.
const TRIED_MAX: usize = 4;

/// Connects to `target`, within `limit` once its name is resolved.
///
/// If one address of a name is forbidden, the whole name is: who answers with a public and a private address wants the private one
/// to be tried. What is connected to is the address that was checked, and not the name again, so that there is no second answer
/// (DNS rebinding).
pub(crate) async fn connect(
    policy: &AddressPolicy,
    lookup: &dyn Lookup,
    target: &Target,
    limit: Duration,
) -> Result<TcpStream, Error> {
    let addresses = match target.host() {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) => lookup.lookup(name).await.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => Error::Busy,
            _ => Error::NameUnresolved(Some(Box::new(error))),
        })?,
    };
    for address in &addresses {
        policy.check(*address)?;
    }
    let addresses = in_turns(addresses);
    let deadline = Instant::now() + limit;
    let mut failed = if addresses.is_empty() { Error::NameUnresolved(None) } else { Error::Timeout };
    for (n, address) in addresses.iter().enumerate() {
        // What is left is shared among those that are left, so that a silent one does not take it all.
        let left = u32::try_from(addresses.len() - n).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let address = SocketAddr::new(*address, target.port());
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small and written at once.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failed = Error::ConnectFailed(Some(Box::new(error))),
            Err(_) => failed = Error::Timeout,
        }
    }
    Err(failed)
}

/// The first few addresses, families in turns: where one of them leads nowhere, the other is soon tried.
fn in_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut other) = (first.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(TRIED_MAX);
    while turns.len() < TRIED_MAX {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(other.next());
        if turns.len() == before {
            break;
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(in_turns(addresses(&["::1", "::2", "1.1.1.1"])), addresses(&["::1", "1.1.1.1", "::2"]));
        assert_eq!(in_turns(addresses(&["1.1.1.1", "1.1.1.2"])), addresses(&["1.1.1.1", "1.1.1.2"]));
        assert_eq!(in_turns(addresses(&["::1"; 9])).len(), TRIED_MAX);
        assert!(in_turns(Vec::new()).is_empty());
    }
}
