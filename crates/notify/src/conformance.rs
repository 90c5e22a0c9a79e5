//! What holds for every mail transport, to be run against one's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what does not hold ends the test"
)]

use chrono::DateTime;
use stylobate_core::{Clock as _, PersonId, SystemClock};

use crate::{Composer, EmailAddress, Mail, MailTransport, Mailbox, Rendered};

/// Texts that transports have broken.
const TEXTS: [&str; 6] = [
    "Hello\n",
    // A line with a full stop alone ends a mail in SMTP, unless somebody doubles it.
    "one\n.\ntwo\n..\n.three\n",
    "From the beginning\n>From there\n",
    "Zoë 🦀\n\u{2028}\n",
    "\n\n\nafter empty lines\n\n\n",
    "spaces \t \nat ends \t \n",
];

/// Holds `transport` against the rules. `arrived` gives every mail with that Message-ID (without brackets) that has arrived by now,
/// as it arrived.
///
/// 1. A mail that was taken arrives once and as it was written, but for empty lines at its end.
/// 2. Mails that are sent at once arrive each as it was written.
/// 3. A transport that can send says so.
///
/// # Panics
/// When a rule does not hold.
pub async fn mail_transport(transport: &dyn MailTransport, arrived: impl AsyncFn(&str) -> Vec<Vec<u8>>) {
    transport.check().await.expect("it can send");
    let long = format!("{}\n{}\n", "x".repeat(2_000), "word ".repeat(400));
    let texts = TEXTS.into_iter().chain([long.as_str()]);
    for text in texts {
        let mail = mail(text);
        transport.send(&mail).await.unwrap();
        is_whole(&mail, &arrived(mail.id()).await);
    }

    let mails: Vec<Mail> =
        (0..10).map(|number| mail(&format!("{number}\n{}", "line\n".repeat(500)))).collect();
    let (first, second) = mails.split_at(5);
    let all = async |mails: &[Mail]| {
        for mail in mails {
            transport.send(mail).await.unwrap();
        }
    };
    tokio::join!(all(first), all(second));
    for mail in &mails {
        is_whole(mail, &arrived(mail.id()).await);
    }
    transport.check().await.expect("it can still send");
}

fn mail(text: &str) -> Mail {
    let rendered = Rendered {
        locale: "en".to_owned(),
        subject: "Hello, Zoë".to_owned(),
        text: text.to_owned(),
        html: Some(format!("<pre>{text}</pre>")),
    };
    let to = Mailbox::new("Ada", EmailAddress::parse("ada@example.test").unwrap());
    // Any id will do that no mail had before.
    let id = PersonId::new(SystemClock.now()).as_uuid();
    let composer = Composer::new(Mailbox::parse("Example <no-reply@example.test>").unwrap());
    composer.compose(id, &to, &rendered, DateTime::UNIX_EPOCH).unwrap()
}

fn is_whole(sent: &Mail, arrived: &[Vec<u8>]) {
    assert_eq!(arrived.len(), 1, "mail {} arrived so often", sent.id());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches(['\r', '\n']).to_owned();
    let arrived = arrived.first().map(|bytes| text(bytes)).unwrap_or_default();
    let expected = text(sent.as_bytes());
    // Servers put their own headers in front.
    assert!(arrived.ends_with(&expected), "sent\n{expected}\narrived\n{arrived}");
}
