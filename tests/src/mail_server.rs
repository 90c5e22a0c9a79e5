use std::fs;

use uuid::Uuid;

use crate::eventually;

/// A real mail server that keeps what it takes and delivers nothing. What it says to a recipient is decided by the name before the
/// `@`: `refuse-550`, `defer-451`, `slow`; see `xtask/src/services/smtp/sinks.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailServer {
    /// Without TLS, with a login.
    Plain,
    /// With STARTTLS; its certificate names `127.0.0.1`.
    StartTls,
    /// With TLS from the first byte, and the same certificate.
    Tls,
}

impl MailServer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::StartTls, Self::Tls];

    /// Its address with user and password, as `SMTP_URL` takes it.
    ///
    /// # Panics
    /// When `STYLOBATE_TEST_SMTP_…` does not name it.
    #[must_use]
    pub fn url(self) -> String {
        variable(match self {
            Self::Plain => "PLAIN_URL",
            Self::StartTls => "STARTTLS_URL",
            Self::Tls => "TLS_URL",
        })
    }

    /// The same behind `port` of loopback.
    ///
    /// # Panics
    /// As of [`url`](Self::url).
    #[must_use]
    pub fn url_through(self, port: u16) -> String {
        self.url().replace(&self.address(), &format!("127.0.0.1:{port}"))
    }

    /// Host and port.
    ///
    /// # Panics
    /// As of [`url`](Self::url).
    #[must_use]
    pub fn address(self) -> String {
        let url = self.url();
        let address = url.rsplit('@').next().and_then(|rest| rest.split('?').next());
        address.expect("an address").to_owned()
    }

    /// The password in its address.
    ///
    /// # Panics
    /// As of [`url`](Self::url).
    #[must_use]
    pub fn password(self) -> String {
        let url = self.url();
        let credentials = url.split("://").nth(1).and_then(|rest| rest.split('@').next());
        credentials.and_then(|both| both.split(':').nth(1)).expect("a password").to_owned()
    }

    /// An address that no other test writes to: the servers have one box. It begins with `name`, which decides what they answer.
    #[must_use]
    pub fn fresh_address(name: &str) -> String {
        format!("{name}@{}.example", Uuid::new_v4().simple())
    }

    /// The mail to `address` with this subject behind the product's name, once it has arrived.
    ///
    /// # Panics
    /// When it does not in time, or as of [`mails_to`](Self::mails_to).
    pub async fn mail_to(address: &str, subject: &str) -> ReceivedMail {
        let subject = format!("Stylobate: {subject}");
        let is_it = |mail: &ReceivedMail| mail.fields("subject") == [subject.as_str()];
        eventually(&subject, async || Self::mails_to(address).into_iter().find(is_it)).await
    }

    /// The mails to `address` that the servers have taken so far.
    ///
    /// # Panics
    /// When `STYLOBATE_TEST_SMTP_BOX` does not name a folder.
    #[must_use]
    pub fn mails_to(address: &str) -> Vec<ReceivedMail> {
        let files =
            fs::read_dir(variable("BOX")).expect("the box").map(|entry| entry.expect("a file").path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .map(|path| ReceivedMail::read(&fs::read_to_string(path).expect("ASCII")))
            .filter(|mail| mail.fields("to").iter().any(|to| to.contains(address)))
            .collect()
    }
}

/// A mail as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedMail {
    head: Vec<(String, String)>,
    /// All behind the head.
    pub body: String,
}

impl ReceivedMail {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        // Long fields go on in the next line (RFC 5322 §2.2.3).
        let head = head.replace("\r\n ", " ").replace("\r\n\t", "\t");
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line}"));
            (name.to_lowercase(), value.trim().to_owned())
        };
        Self { head: head.split("\r\n").map(field).collect(), body: body.to_owned() }
    }

    /// Its plain text, ASCII as far as it is.
    #[must_use]
    pub fn text(&self) -> String {
        // It comes first (RFC 2046 §5.1.4), and is quoted-printable where lines are long (RFC 2045 §6.7).
        let plain = self.body.split("text/html").next().unwrap_or_default();
        plain.replace("=\r\n", "").replace("=3D", "=")
    }

    /// The links of its plain text, in their order.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        let plain = self.text();
        let is_link = |word: &&str| word.starts_with("http://") || word.starts_with("https://");
        plain.split_whitespace().filter(is_link).map(str::to_owned).collect()
    }

    /// The token of its one link, which leads to `path` and nowhere else.
    ///
    /// # Panics
    /// When there is another link, or none.
    #[must_use]
    #[track_caller]
    pub fn token(&self, path: &str) -> String {
        let [link] = &self.links()[..] else { panic!("{self:?}") };
        let (_, token) = link.split_once(&format!("{path}?token=")).unwrap_or_else(|| panic!("{link}"));
        token.to_owned()
    }

    /// The values of all fields called `name`, in lower case.
    #[must_use]
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.head.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str()).collect()
    }
}

fn variable(name: &str) -> String {
    let name = format!("STYLOBATE_TEST_SMTP_{name}");
    std::env::var(&name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `cargo xtask test`, or `cargo xtask services up smtp`")
    })
}
