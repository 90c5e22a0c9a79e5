//! Choosing ports nobody else will take.

use crate::{Result, process};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// A free port of the loopback address, below the range from which the system serves outgoing connections: such a
/// connection would take the port while a server is being restarted.
pub fn choose() -> Result<u16> {
    let range =
        fs_range(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
    let seed = u64::from_str_radix(&process::random_hex(8)?, 16)?;
    first_free(range, seed, |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or_else(|| "no free port on the loopback address".into())
}

/// From 15000 up to the first outgoing port (proc file `ip_local_port_range`), when that leaves room.
fn fs_range(outgoing: &str) -> Range<u16> {
    let first = outgoing.split_ascii_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32_768);
    if first >= 16_000 { 15_000..first } else { 15_000..32_768 }
}

/// Walks once around the range, from a place that the seed decides.
fn first_free(range: Range<u16>, seed: u64, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let size = u64::from(range.end.saturating_sub(range.start));
    (0..size)
        .filter_map(|step| u16::try_from(u64::from(range.start) + (seed % size + step) % size).ok())
        .find(|port| is_free(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_ends_where_outgoing_ports_begin() {
        assert_eq!(fs_range("32768\t60999\n"), 15_000..32_768);
        assert_eq!(fs_range("20000 65000"), 15_000..20_000);
        assert_eq!(fs_range("1024 65000"), 15_000..32_768);
        assert_eq!(fs_range(""), 15_000..32_768);
    }

    #[test]
    fn the_walk_wraps_around_and_skips_taken_ports() {
        assert_eq!(first_free(10..14, 3, |_| true), Some(13));
        assert_eq!(first_free(10..14, 3, |port| port != 13), Some(10));
        assert_eq!(first_free(10..14, u64::MAX, |port| port == 12), Some(12));
    }

    #[test]
    fn nothing_is_chosen_when_all_are_taken() {
        assert_eq!(first_free(10..14, 1, |_| false), None);
        assert_eq!(first_free(10..10, 1, |_| true), None);
    }

    #[test]
    fn a_chosen_port_can_be_bound() {
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, choose().unwrap())).is_ok());
    }
}
