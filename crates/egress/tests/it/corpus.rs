//! Everything that leads inside without saying so. A canary listens on loopback and hears nothing.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, atomic::Ordering},
};

use stylobate_egress::{AddressPolicy, Client, Request, Target};

use crate::world::{Server, Then, Told, client, limits, loopback, target};

/// Hosts that are, or that a resolver might take for, an address inside.
const HOSTS: [&str; 72] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0X7F.1",
    "0177.0.0.1",
    "017700000001",
    "0177.1",
    "127.0.0.0x1",
    "127.000.000.001",
    "127.0.0.2",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "000000000000",
    "0.0.0.0.",
    "10.0.0.1",
    "012.0.0.1",
    "0xa.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "3232235521",
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "100.100.100.200",
    "100.64.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::1]",
    "[2001::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[ff02::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "ｌｏｃａｌｈｏｓｔ",
    "１２７.０.０.１",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "%6c%6fcalhost",
    "%31%32%37.0.0.1",
];

/// Texts that are refused for what they are.
const OTHERS: [&str; 17] = [
    "http://{port}@a.test/",
    "https://a.test@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@a.test/",
    "https://user:word@a.test:{port}/",
    "https://a.test:{port}\\@127.0.0.1/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "file:///etc/passwd",
    "file://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[::1%lo]:{port}/",
    "//127.0.0.1:{port}/",
    "https:127.0.0.1:{port}",
    "https:///127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/\r\nhost: a.test",
];

// A27, C37
#[tokio::test]
async fn nothing_of_the_corpus_connects() {
    let canary = Server::start(Then::Close).await;
    let port = canary.address.port();
    for policy in [AddressPolicy::public(), AddressPolicy::public().insecure_allow_http()] {
        let client = client(policy.clone());
        for host in HOSTS {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{port}/");
                assert!(Target::parse(&url, &policy).is_err(), "{url}");
                // Who got it past the policy once is still not connected.
                let everywhere = loopback().allow(["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
                if let Ok(target) = Target::parse(&url, &everywhere) {
                    let refused = client.send(Request::get(target)).await.unwrap_err();
                    let is_plain = scheme == "http" && !policy.allows_http();
                    let expected = if is_plain { "egress_url_invalid" } else { "egress_address_forbidden" };
                    assert_eq!(refused.code(), expected, "{url}");
                }
            }
        }
        for text in OTHERS {
            let url = text.replace("{port}", &port.to_string());
            let refused = Target::parse(&url, &policy).unwrap_err();
            assert!(
                matches!(refused.code(), "egress_url_invalid" | "egress_address_forbidden"),
                "{url}: {refused:?}"
            );
        }
    }
    assert_eq!(canary.connections(), 0);
    // The canary is alive.
    let _ = client(loopback()).send(Request::get(target(&canary.url("/")))).await;
    assert_eq!(canary.connections(), 1);
}

/// What a resolver may answer for a name of the public internet, each of it inside.
const ANSWERS: [&str; 24] = [
    "127.0.0.1",
    "127.0.0.53",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2001::80ff:fffe",
    "fe80::1",
    "fd00:ec2::254",
    "fec0::1",
];

#[tokio::test]
async fn names_that_resolve_to_the_inside_are_refused() {
    let canary = Server::start(Then::Close).await;
    let url = format!("http://public.test:{}/", canary.address.port());
    let policy = AddressPolicy::public().insecure_allow_http();
    for answer in ANSWERS {
        // Alone, and hidden among public ones: 2001:db8 and the like would be refused for themselves.
        let among: [&[&str]; 3] = [&[answer], &["1.1.1.1", answer], &[answer, "2606:4700:4700::1111"]];
        for answers in among {
            let client = Client::builder(policy.clone()).lookup(Told::new(&[answers])).limits(limits());
            let target = Target::parse(&url, &policy).unwrap();
            let refused = client.build().unwrap().send(Request::get(target)).await.unwrap_err();
            assert_eq!(refused.code(), "egress_address_forbidden", "{answers:?}");
        }
    }
    assert_eq!(canary.connections(), 0);
}

// C37: the answer that is checked is the one that is connected to; each request is checked anew.
#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let receiver = Server::answering("200 OK", "", "").await;
    // The first address of loopback stands for the public internet; on the second the canary hears the same port.
    let canary = Server::start_at("127.0.0.2".parse().unwrap(), receiver.address.port(), Then::Close).await;
    let policy = AddressPolicy::public().allow(["127.0.0.1/32".parse().unwrap()]).insecure_allow_http();
    let lookup = Told::new(&[&["127.0.0.1"], &["127.0.0.2"], &["169.254.169.254"], &["127.0.0.1"]]);
    let client =
        Client::builder(policy.clone()).lookup(Arc::clone(&lookup) as _).limits(limits()).build().unwrap();
    let url = format!("http://rebinding.test:{}/", receiver.address.port());
    let target = Target::parse(&url, &policy).unwrap();
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = client.send(Request::get(target.clone())).await;
        answers.push(answer.map(|answer| answer.status.as_u16()).map_err(|refused| refused.code()));
    }
    let forbidden = Err("egress_address_forbidden");
    assert_eq!(answers, [Ok(200), forbidden, forbidden, Ok(200)]);
    // One lookup for each request: there is no second one between check and connection.
    assert_eq!(
        (lookup.asked.load(Ordering::SeqCst), receiver.connections(), canary.connections()),
        (4, 2, 0)
    );
}

#[tokio::test]
async fn a_name_for_this_machine_is_not_resolved_elsewhere() {
    let lookup = Told::new(&[&["1.1.1.1"]]);
    let client = Client::builder(AddressPolicy::public()).lookup(Arc::clone(&lookup) as _).build().unwrap();
    let everywhere = AddressPolicy::public().allow(["127.0.0.0/8".parse().unwrap()]);
    for host in ["localhost", "a.localhost", "localhost."] {
        let target = Target::parse(&format!("https://{host}/"), &everywhere).unwrap();
        let refused = client.send(Request::get(target)).await.unwrap_err();
        assert_eq!(refused.code(), "egress_address_forbidden", "{host}");
    }
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn the_corpus_is_what_it_says() {
    // Every host that parses is an address inside, or a name for this machine: none of them fails for another reason only.
    let everywhere = AddressPolicy::public().allow(["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
    for host in HOSTS {
        assert!(Target::parse(&format!("https://{host}/"), &everywhere).is_ok(), "{host}");
    }
    assert!(AddressPolicy::public().check(Ipv4Addr::LOCALHOST.into()).is_err());
    assert!(AddressPolicy::public().check(Ipv6Addr::LOCALHOST.into()).is_err());
}
