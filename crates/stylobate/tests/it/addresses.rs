//! An account's address is one that mail is sent to, and two accounts have two mailboxes.

use proptest::prelude::*;
use stylobate::{auth::Email, notify::EmailAddress};

/// What sign-in and mail make of an address: both nothing, or both the same.
fn agree(text: &str) {
    let account = Email::parse(text).map(|email| email.key().to_owned()).ok();
    let mailed = EmailAddress::parse(text).map(|address| address.as_str().to_lowercase()).ok();
    // Sign-in refuses a few more: with characters that cannot be seen, which IDNA leaves out.
    if account.is_some() || text.is_ascii() {
        assert_eq!(account, mailed, "{text:?}");
    }
}

#[test]
fn accounts_have_the_addresses_that_mail_is_sent_to() {
    for text in [
        "ada@example.org",
        "Ada.L+x@Example.ORG",
        "a@bücher.example",
        "a@xn--bcher-kva.example",
        "a@bücher\u{3002}example",
        "a@b\u{1bca0}ücher.example",
        "a@straße.example",
        "a@ＥＸＡＭＰＬＥ.org",
        "a@例え.テスト",
        "jürgen@example.org",
        "\u{17f}ara@example.org",
        "a@localhost",
        "a@127.0.0.1",
        "a@xn--a",
        "a@-b",
        "a@b_c",
        "a@b.",
        "a@b%2ec",
        "",
        "@",
    ] {
        agree(text);
    }
}

proptest! {
    #[test]
    fn whatever_is_typed_is_one_address_to_both(text in "[a-zA-Z.+']{1,6}@[a-zA-ZäßςİıＡ．。\\-.0-9]{1,12}|\\PC{0,4}@\\PC{1,10}") {
        agree(&text);
    }
}
