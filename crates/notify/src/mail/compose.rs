use std::{fmt, time::SystemTime};

use chrono::{DateTime, Utc};
use lettre::{
    Address,
    message::{
        Mailbox as LettreMailbox, Message, MultiPart, MultiPartKind, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use uuid::Uuid;

use super::{DkimKey, EmailAddress, Mailbox};
use crate::{NotifyError, Rendered};

/// A mail, ready to be handed to a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    id: String,
    from: EmailAddress,
    to: EmailAddress,
    subject: String,
    bytes: Vec<u8>,
}

impl Mail {
    /// Its Message-ID, without brackets.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who answers for it: where bounces go.
    #[must_use]
    pub fn from(&self) -> &EmailAddress {
        &self.from
    }

    /// Whom it is for.
    #[must_use]
    pub fn to(&self) -> &EmailAddress {
        &self.to
    }

    /// Its subject, before it was encoded.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// All of it (RFC 5322): ASCII, with CRLF between lines.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Mail {
    /// It may hold codes and single-use links.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).field("to", &self.to).finish_non_exhaustive()
    }
}

/// Makes mails of what was rendered.
#[derive(Debug, Clone)]
pub struct Composer {
    from: Mailbox,
    signed_by: Option<DkimKey>,
}

impl Composer {
    /// Mails from `from`.
    #[must_use]
    pub fn new(from: Mailbox) -> Self {
        Self { from, signed_by: None }
    }

    /// Signs each mail (DKIM, RFC 6376). Unset, the server may do so.
    #[must_use]
    pub fn signed_by(mut self, key: DkimKey) -> Self {
        self.signed_by = Some(key);
        self
    }

    /// A mail to `to` with what was rendered: text, and HTML beside it if there is any. The same `id` gives the same Message-ID, by
    /// which recipients recognise a mail that arrives twice.
    ///
    /// # Errors
    /// [`NotifyError::Address`] when an address is one that the mail format has no way to write, [`NotifyError::SigningFailed`].
    pub fn compose(
        &self,
        id: Uuid,
        to: &Mailbox,
        rendered: &Rendered,
        now: DateTime<Utc>,
    ) -> Result<Mail, NotifyError> {
        let from = self.from.address();
        let message_id = format!("{id}@{}", from.domain());
        let builder = Message::builder()
            .from(lettre_mailbox(&self.from)?)
            .to(lettre_mailbox(to)?)
            .subject(rendered.subject.clone())
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{message_id}>")))
            // Machines that answer absent people's mail leave it alone (RFC 3834 §5).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(rendered.text.clone());
        let message = match &rendered.html {
            None => builder.singlepart(text),
            Some(html) => builder.multipart(
                // Its own boundary would be random; this one is in no text, since the id is in none.
                MultiPart::builder()
                    .kind(MultiPartKind::Alternative)
                    .boundary(format!("part-{}", id.simple()))
                    .singlepart(text)
                    .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(html.clone())),
            ),
        };
        let mut bytes = message.map_err(|_| UNWRITABLE)?.formatted();
        if let Some(key) = &self.signed_by {
            let mut signed = key.sign(&bytes, now)?.into_bytes();
            signed.append(&mut bytes);
            bytes = signed;
        }
        Ok(Mail {
            id: message_id,
            from: from.clone(),
            to: to.address().clone(),
            subject: rendered.subject.clone(),
            bytes,
        })
    }
}

const UNWRITABLE: NotifyError = NotifyError::Address(super::address::UNWRITABLE);

fn lettre_mailbox(mailbox: &Mailbox) -> Result<LettreMailbox, NotifyError> {
    let address = mailbox.address();
    let address = Address::new(address.local(), address.domain()).map_err(|_| UNWRITABLE)?;
    Ok(LettreMailbox::new(mailbox.name().map(str::to_owned), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(subject: &str, text: &str, html: Option<&str>) -> Rendered {
        Rendered {
            locale: "en".to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: html.map(str::to_owned),
        }
    }

    fn composed(to: &Mailbox, rendered: &Rendered) -> String {
        let now = DateTime::from_timestamp(1_772_366_400, 0).unwrap();
        let composer = Composer::new(Mailbox::parse("Example <no-reply@example.test>").unwrap());
        let mail = composer.compose(Uuid::from_u128(7), to, rendered, now).unwrap();
        String::from_utf8(mail.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_mail_has_the_headers_that_machines_look_for() {
        let to = Mailbox::new("Ada", EmailAddress::parse("ada@example.test").unwrap());
        let mail = composed(&to, &rendered("Hello", "Hello\nAda\n", None));
        assert_eq!(
            mail,
            "From: Example <no-reply@example.test>\r\n\
             To: Ada <ada@example.test>\r\n\
             Subject: Hello\r\n\
             Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n\
             Message-ID: <00000000-0000-0000-0000-000000000007@example.test>\r\n\
             Auto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 7bit\r\n\
             \r\n\
             Hello\r\nAda\r\n\r\n"
        );
    }

    #[test]
    fn text_and_html_are_alternatives() {
        let to = Mailbox::from(EmailAddress::parse("ada@example.test").unwrap());
        let mail = composed(&to, &rendered("Hello", "Zoë", Some("<p>Zoë</p>")));
        assert!(mail.contains("Content-Type: multipart/alternative;"), "{mail}");
        let (plain, html) = (mail.find("text/plain").unwrap(), mail.find("text/html").unwrap());
        assert!(plain < html && mail.is_ascii());
        assert_eq!(mail.matches("--part-00000000000000000000000000000007").count(), 3, "{mail}");
    }

    // C50: whatever a name or a subject holds, there is one header of each and the line of the body is the first empty one.
    #[test]
    fn no_name_and_no_subject_adds_a_header() {
        let address = EmailAddress::parse("ada@example.test").unwrap();
        for text in [
            "a\r\nBcc: eve@evil.test",
            "a\nBcc: eve@evil.test",
            "a\rBcc: eve@evil.test",
            "a\r\n\r\n<script>",
            "a\u{2028}Bcc: eve@evil.test",
            "a\u{85}Bcc: x",
            "\" <eve@evil.test>, \"",
            "(comment) a",
            "=?utf-8?q?a=0D=0ABcc:_eve@evil.test?=",
            "Zoë \u{202e}🦀",
            &"long ".repeat(40),
            &"ä".repeat(150),
        ] {
            let mail = composed(&Mailbox::new(text, address.clone()), &rendered(text, "body", None));
            let (head, body) = mail.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = head
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split_once(':').unwrap().0)
                .collect();
            let expected = [
                "From",
                "To",
                "Subject",
                "Date",
                "Message-ID",
                "Auto-Submitted",
                "MIME-Version",
                "Content-Type",
                "Content-Transfer-Encoding",
            ];
            assert_eq!(
                (names.as_slice(), body.trim_end()),
                (expected.as_slice(), "body"),
                "{text:?}: {mail}"
            );
            assert!(!head.replace("\r\n", "").contains(|c: char| c.is_control() || !c.is_ascii()), "{mail}");
            assert!(head.split("\r\n").all(|line| line.len() <= 998));
        }
    }

    #[test]
    fn debug_shows_no_body() {
        let to = Mailbox::from(EmailAddress::parse("ada@example.test").unwrap());
        let composer = Composer::new(Mailbox::parse("no-reply@example.test").unwrap());
        let mail = composer
            .compose(Uuid::nil(), &to, &rendered("canary", "canary", None), DateTime::UNIX_EPOCH)
            .unwrap();
        assert!(!format!("{mail:?}").contains("canary"));
    }
}
