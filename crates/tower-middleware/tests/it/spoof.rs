//! Whatever a client writes into forwarding headers, its address, scheme and host stay what they are (A19, C24, C48).

use axum::{body::Body, routing::get};
use http::{HeaderValue, Request};
use proptest::prelude::*;
use stylobate_tower_middleware::{Arrival, ForwardingHeader, Scheme, TrustedProxies};
use tower::{Layer, ServiceExt};

use crate::support::{edge, from_peer, router, text};

/// Header lines as attackers write them: names that some software trusts, values of every kind.
fn lines() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = prop::sample::select(vec![
        "x-forwarded-for",
        "forwarded",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
        "x-client-ip",
        "client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-cluster-client-ip",
        "x-original-host",
        "x-host",
        "via",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "127.0.0.1",
            "10.0.0.1",
            "::1",
            "[::1]:443",
            "::ffff:127.0.0.1",
            "unknown",
            "https",
            "admin.internal",
            "for=127.0.0.1;proto=https;host=admin.internal",
            "for=\"[::1]\", for=10.0.0.1",
            "for=\"",
            ",,,",
            "127.0.0.1, 10.0.0.1, 10.0.0.2",
            "0x7f.1",
            "2130706433",
            "127.1",
            "localhost",
            "127.0.0.1\t",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,40}",
        any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
    ];
    prop::collection::vec((name, value), 0..8)
}

fn arrive(proxies: TrustedProxies, peer: &str, lines: &[(&'static str, String)]) -> String {
    let app = router([(
        "/",
        get(async |arrival: Arrival| format!("{} {:?}", arrival.client.ip.unwrap(), arrival.client.scheme)),
    )]);
    let mut request = Request::builder().uri("/").header("host", "app.example").body(Body::empty()).unwrap();
    for (name, value) in lines {
        if let Ok(value) = HeaderValue::from_str(value) {
            request.headers_mut().append(*name, value);
        }
    }
    let service = edge().with_proxies(proxies).layer(app);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { text(service.oneshot(from_peer(request, peer)).await.unwrap()).await })
}

proptest! {
    #[test]
    fn a_direct_client_cannot_change_its_address_or_scheme(lines in lines()) {
        prop_assert_eq!(arrive(TrustedProxies::none(), "203.0.113.9:1", &lines), "203.0.113.9 Http");
        let trusted = TrustedProxies::parse(["10.0.0.0/8", "127.0.0.0/8", "::1"]).unwrap();
        prop_assert_eq!(arrive(trusted, "203.0.113.9:1", &lines), "203.0.113.9 Http");
    }

    #[test]
    fn a_client_behind_a_proxy_cannot_change_what_the_proxy_says(lines in lines(), forwarded in any::<bool>()) {
        // The proxy appends its own line after whatever the client wrote.
        let mut sent = lines;
        let header = if forwarded { ForwardingHeader::Forwarded } else { ForwardingHeader::XForwardedFor };
        if forwarded {
            // A proxy that writes RFC 7239 passes a malformed list on, which nobody may then believe: only sound ones here.
            sent.retain(|(name, _)| *name != "forwarded");
            sent.push(("forwarded", "for=127.0.0.1;proto=http".into()));
            sent.push(("forwarded", "for=198.51.100.7;proto=https".into()));
        } else {
            sent.push(("x-forwarded-for", "198.51.100.7".into()));
            sent.push(("x-forwarded-proto", "https".into()));
        }
        let trusted = TrustedProxies::parse(["10.0.0.0/8", "127.0.0.0/8", "::1"]).unwrap().with_header(header);
        prop_assert_eq!(arrive(trusted, "10.0.0.1:1", &sent), "198.51.100.7 Https");
    }

    #[test]
    fn a_malformed_forwarded_list_leaves_the_proxy_itself_as_the_client(garbage in "[ -~]{0,30}\"") {
        let sent = [("forwarded", garbage), ("forwarded", "for=198.51.100.7;proto=https".into())];
        let trusted = TrustedProxies::parse(["10.0.0.0/8"]).unwrap().with_header(ForwardingHeader::Forwarded);
        let seen = arrive(trusted, "10.0.0.1:1", &sent);
        // A quote that happens to close a value is sound; then the proxy's own element counts.
        prop_assert!(seen == "10.0.0.1 Http" || seen == "198.51.100.7 Https", "{}", seen);
    }
}

#[test]
fn tls_of_the_server_itself_counts() {
    let app = router([("/", get(async |arrival: Arrival| format!("{:?}", arrival.client.scheme)))]);
    let mut request = Request::builder().uri("/").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Scheme::Https);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(edge().layer(app).oneshot(request)).unwrap();
    assert!(response.headers().contains_key("strict-transport-security"));
    assert_eq!(runtime.block_on(text(response)), "Https");
}
