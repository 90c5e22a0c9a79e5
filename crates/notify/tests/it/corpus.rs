use std::sync::Arc;

use stylobate_core::Message;
use stylobate_notify::{Composer, Direct, MailTransport as _};

use super::world::{address, arrived, catalogue, mail_to, product, sender, transport};

/// Names and addresses by which one mail, recipient or header would become two.
const NAMES: [&str; 12] = [
    "Ada\r\nBcc: eve@evil.test",
    "Ada\nBcc: eve@evil.test",
    "Ada\rBcc: eve@evil.test",
    "Ada\r\n\r\n<script>alert(1)</script>",
    "Ada\r\n.\r\nMAIL FROM:<eve@evil.test>",
    "Ada\u{2028}Bcc: eve@evil.test",
    "Ada\u{0}\u{7f}\u{85}",
    "\" <eve@evil.test>, \"",
    "(a comment) Ada",
    "=?utf-8?q?Ada=0D=0ABcc:_eve@evil.test?=",
    "Zoë \u{202e}tset.live@eve\u{202c} 🦀",
    "https://evil.test/ <b>Ada</b> {{ code }} {% if %}",
];

const ADDRESSES: [&str; 12] = [
    "ada@example.test\r\nBcc: eve@evil.test",
    "ada@example.test>\r\nRCPT TO:<eve@evil.test",
    "ada@example.test\r\nDATA",
    "ada@example.test,eve@evil.test",
    "ada@example.test eve@evil.test",
    "\"ada\r\n\"@example.test",
    "\"ada@evil.test\"@example.test",
    "ada(comment)@example.test",
    "ada@example.test(comment)",
    "Ada <ada@example.test>",
    "zoë@example.test",
    "ada@[127.0.0.1]",
];

// C50, ASVS 1.3.11
#[tokio::test]
async fn no_name_makes_a_mail_of_its_own() {
    let transport = transport(&address("STARTTLS"));
    for name in NAMES {
        let mail = mail_to(&Composer::new(sender()), "ada", name);
        transport.send(&mail).await.unwrap();
        let arrived = arrived(mail.id());
        assert_eq!(arrived.len(), 1, "{name:?}");
        let text = String::from_utf8(arrived[0].clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let fields: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).collect();
        assert!(fields.iter().all(|field| field.contains(':')), "{head}");
        for field in ["From:", "To:", "Subject:", "Message-ID:", "Content-Type:"] {
            assert_eq!(fields.iter().filter(|line| line.starts_with(field)).count(), 1, "{field} in {head}");
        }
        assert!(!fields.iter().any(|field| field.to_ascii_lowercase().starts_with("bcc")), "{head}");
        // The text part is text; the other is what a browser reads.
        let (_, html) = body.split_once("Content-Type: text/html").unwrap();
        assert!(!html.contains("<script") && !html.contains("<b>Ada"), "{html}");
    }
}

// C50
#[tokio::test]
async fn no_address_is_more_than_one_recipient() {
    let direct =
        Direct::builder(catalogue(), product(), sender(), Arc::new(transport(&address("PLAIN")))).build();
    for wrong in ADDRESSES {
        let message = Message::to_email("code", wrong).with(serde_json::json!({ "code": "1" }));
        let error = direct.deliver(&message).await.unwrap_err();
        assert_eq!(error.code(), "notify_address_invalid", "{wrong:?}");
    }
}
