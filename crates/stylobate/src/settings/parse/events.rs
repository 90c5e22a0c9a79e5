//! The broker, and where webhooks may go.

use std::time::Duration;

use super::{Values, flag, list, number, text};
use crate::settings::{EventSettings, table};
use secrecy::SecretString;

pub(super) fn events(values: &mut Values, is_production: bool) -> EventSettings {
    EventSettings {
        amqp_url: amqp_url(values),
        amqp_ca: certificates(values, table::AMQP_CA_FILE),
        discard_unroutable: discard_unroutable(values),
        kept: days(values, table::EVENTS_KEPT, 30),
        dead_letters_kept: days(values, table::EVENT_DEAD_LETTERS_KEPT, 90),
        webhook_deliveries_kept: days(values, table::WEBHOOK_DELIVERIES_KEPT, 14),
        webhook_networks: networks(values),
        insecure_webhook_http: insecure_webhook_http(values, is_production),
    }
}

#[cfg(feature = "rabbitmq")]
fn amqp_url(values: &mut Values) -> Option<SecretString> {
    let url = text(values, table::AMQP_URL)?;
    if let Err(error) = stylobate_events::AmqpUrl::parse(&url) {
        let name = values.name(table::AMQP_URL);
        values.problem(name, error.to_string());
    }
    Some(SecretString::from(url))
}

#[cfg(not(feature = "rabbitmq"))]
fn amqp_url(values: &mut Values) -> Option<SecretString> {
    if text(values, table::AMQP_URL).is_some() {
        let name = values.name(table::AMQP_URL);
        values.problem(name, "needs a build with the feature `rabbitmq`");
    }
    None
}

pub(super) fn certificates(values: &mut Values, key: &'static str) -> Option<String> {
    let pem = super::file(values, key)?;
    if pem.contains("-----BEGIN CERTIFICATE-----") {
        return Some(pem);
    }
    let name = values.name(key);
    values.problem(name, "is a file without a certificate in PEM");
    None
}

pub(super) fn days(values: &mut Values, key: &'static str, default: u64) -> Duration {
    Duration::from_secs(86_400 * number::<u64>(values, key, default, 1..=3_650))
}

fn discard_unroutable(values: &mut Values) -> bool {
    match text(values, table::AMQP_UNROUTABLE).as_deref() {
        None | Some("keep") => false,
        Some("discard") => true,
        Some(_) => {
            let name = values.name(table::AMQP_UNROUTABLE);
            values.problem(name, "is neither `keep` nor `discard`");
            false
        }
    }
}

// A27
fn networks(values: &mut Values) -> Vec<ipnet::IpNet> {
    let name = values.name(table::WEBHOOK_NETWORKS);
    let mut networks = Vec::new();
    for item in list(values, table::WEBHOOK_NETWORKS).unwrap_or_default() {
        let network: Option<ipnet::IpNet> =
            item.parse().ok().or_else(|| item.parse().ok().map(|address: std::net::IpAddr| address.into()));
        match network {
            Some(network) if network.prefix_len() < widest(network) => {
                values.problem(name.clone(), "lists a network that is wider than /8, or /16 of IPv6");
            }
            // `10.1.0.0/8` may have been meant as `10.1.0.0/16`, and some read `010` as eight.
            Some(network) if network != network.trunc() || is_misspelt(network, &item) => {
                values.problem(name.clone(), "lists a network that is not written as its first address");
            }
            Some(network) => networks.push(network),
            None => values.problem(name.clone(), "lists something that is neither an address nor a network"),
        }
    }
    networks
}

fn widest(network: ipnet::IpNet) -> u8 {
    if network.addr().is_ipv4() { 8 } else { 16 }
}

fn is_misspelt(network: ipnet::IpNet, item: &str) -> bool {
    let address = item.split('/').next().unwrap_or_default();
    network.addr().is_ipv4() && network.addr().to_string() != address
}

fn insecure_webhook_http(values: &mut Values, is_production: bool) -> bool {
    let name = values.name(table::WEBHOOK_HTTP);
    let allowed = flag(values, table::WEBHOOK_HTTP, false);
    if allowed && is_production {
        values.problem(name, "is refused in production: whoever reads the wire would read the events");
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;

    #[test]
    fn networks_of_webhooks_are_written_plainly_and_are_not_the_world() {
        let allowed = "10.1.0.0/16, 192.168.7.9, 127.0.0.0/8, fd00::/16, ::1";
        let given = settings(&[("WEBHOOK_ALLOWED_NETWORKS", allowed)]).unwrap();
        assert_eq!(given.events.webhook_networks.len(), 5);
        for refused in
            ["0.0.0.0/0", "::/0", "0.0.0.0/1,128.0.0.0/1", "fc00::/7", "10.1.0.0/8", "010.0.0.0/8", "x"]
        {
            let name = "WEBHOOK_ALLOWED_NETWORKS";
            let named = problems(&[(name, refused)]);
            assert!(!named.is_empty() && named.iter().all(|one| one == name), "{refused}: {named:?}");
        }
    }

    #[test]
    fn the_authority_of_a_broker_is_a_file_of_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let given = settings(&[("AMQP_CA_FILE", &write("ca.pem", pem))]).unwrap();
        assert_eq!(given.events.amqp_ca.as_deref(), Some(pem));
        for path in [write("empty.pem", ""), folder.path().join("none.pem").display().to_string()] {
            assert_eq!(problems(&[("AMQP_CA_FILE", &path)]), ["AMQP_CA_FILE"]);
        }
    }
}
