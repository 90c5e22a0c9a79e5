use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::DateTime;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use stylobate_core::{Clock as _, PersonId, SystemClock};
use stylobate_notify::{
    Category, Composer, Draft, EmailAddress, Mail, Mailbox, Media, MessageCatalogue, MessageKind, Product,
    PublicUrl, Renderer, Severity, SmtpTransport, SmtpUrl, TemplateText,
};
use stylobate_testkit::certificates::{self, AUTHORITY};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

pub(crate) const CODE: MessageKind = MessageKind {
    is_confidential: true,
    media: Media::EMAIL,
    templates: &[
        TemplateText {
            locale: "en",
            subject: "{{ code }} is your code, {{ recipient.name }}",
            text: "Hello {{ recipient.name }},\n\nyour code is {{ code }}.\n{{ link('/enter', code=code) }}\n",
            html: Some(
                "<p>Hello {{ recipient.name }}</p><p>{{ code }}</p><a href=\"{{ link('/enter', code=code) }}\">Enter it</a>",
            ),
        },
        TemplateText { locale: "de", subject: "Ihr Code", text: "{{ code }}\n", html: None },
    ],
    sample: r#"{ "code": "123456" }"#,
    ..MessageKind::new("code", Category::Security, Severity::Info)
};

pub(crate) fn catalogue() -> MessageCatalogue {
    MessageCatalogue::new([CODE]).unwrap()
}

pub(crate) fn product() -> Product {
    Product { name: "Example".to_owned(), url: PublicUrl::parse("https://example.test").unwrap() }
}

pub(crate) fn sender() -> Mailbox {
    Mailbox::parse("Example <no-reply@example.test>").unwrap()
}

/// An id that no other mail in the box has.
pub(crate) fn fresh_id() -> Uuid {
    PersonId::new(SystemClock.now()).as_uuid()
}

/// A mail to `to@example.test`, who is called `name`.
pub(crate) fn mail_to(composer: &Composer, to: &str, name: &str) -> Mail {
    let values = serde_json::json!({ "code": "424242" });
    let draft = Draft { kind: "code", locale: None, recipient_name: name, values: &values };
    let rendered = Renderer::new(catalogue(), product()).render(&draft).unwrap();
    let to = Mailbox::new(name, EmailAddress::parse(&format!("{to}@example.test")).unwrap());
    composer.compose(fresh_id(), &to, &rendered, DateTime::UNIX_EPOCH).unwrap()
}

pub(crate) fn mail(to: &str) -> Mail {
    mail_to(&Composer::new(sender()), to, "Ada")
}

/// A variable that `cargo xtask test` and `cargo xtask services up smtp` set.
fn variable(name: &str) -> String {
    let name = format!("STYLOBATE_TEST_SMTP_{name}");
    std::env::var(&name)
        .unwrap_or_else(|_| panic!("{name} is not set: eval \"$(cargo xtask services up smtp)\""))
}

/// The address of a real mail server: `PLAIN`, `STARTTLS` or `TLS`.
pub(crate) fn address(name: &str) -> String {
    variable(&format!("{name}_URL"))
}

/// A transport to the server at `address`, which trusts the authority of the tests.
pub(crate) fn transport(address: &str) -> SmtpTransport {
    SmtpTransport::builder(SmtpUrl::parse(address).unwrap()).trust_only(AUTHORITY).build().unwrap()
}

/// Every mail with that Message-ID that the real servers have taken.
pub(crate) fn arrived(id: &str) -> Vec<Vec<u8>> {
    in_folder(&variable("BOX"), id)
}

pub(crate) fn in_folder(folder: &str, id: &str) -> Vec<Vec<u8>> {
    let head = format!("Message-ID: <{id}>\r\n").into_bytes();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| fs::read(path).unwrap())
        .filter(|mail| mail.windows(head.len()).any(|part| part == head))
        .collect()
}

/// What a [`Scripted`] server does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Script {
    /// Takes mails, as many as come.
    Take,
    /// Takes one mail on each connection and hangs up.
    TakeOne,
    /// Takes mails after STARTTLS.
    StartTls,
    /// Takes mails after STARTTLS, and says more than it is asked before it.
    SpeakBeforeTls,
    /// Takes connections and says nothing.
    Silent,
    /// Greets with 554.
    Closed,
}

/// A mail server that does what servers ought not to, on a port of its own.
pub(crate) struct Scripted {
    port: u16,
    connections: Arc<AtomicUsize>,
    mails: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, mails) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counted = (Arc::clone(&connections), Arc::clone(&mails));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.0.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, script, Arc::clone(&counted.1)));
            }
        });
        Self { port, connections, mails }
    }

    pub(crate) fn plain(&self) -> String {
        format!("smtp://127.0.0.1:{}?tls=none", self.port)
    }

    pub(crate) fn starttls(&self) -> String {
        format!("smtp://app:canary@127.0.0.1:{}", self.port)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn mails(&self) -> usize {
        self.mails.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, script: Script, mails: Arc<AtomicUsize>) {
    // A client that hangs up ends it, in whatever way.
    let _ = match script {
        Script::Silent => return std::future::pending().await,
        Script::Closed => stream.write_all(b"554 no\r\n").await,
        Script::StartTls => encrypted(stream, "220 go\r\n", &mails).await,
        Script::SpeakBeforeTls => encrypted(stream, "220 go\r\n250-here\r\n250 AUTH PLAIN\r\n", &mails).await,
        Script::Take | Script::TakeOne => match stream.write_all(b"220 here\r\n").await {
            Ok(()) => take(stream, script, &mails).await,
            Err(error) => Err(error),
        },
    };
}

/// Says `go` when it is asked for TLS, and goes on within.
async fn encrypted(stream: TcpStream, go: &str, mails: &AtomicUsize) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    for answer in ["220 here\r\n", "250-here\r\n250 STARTTLS\r\n", go] {
        stream.write_all(answer.as_bytes()).await?;
        if answer != go {
            stream.read_line(&mut line).await?;
        }
    }
    let certificate = CertificateDer::from_pem_slice(certificates::CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificates::KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let stream = TlsAcceptor::from(Arc::new(config)).accept(stream.into_inner()).await?;
    take(stream, Script::Take, mails).await
}

async fn take(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    mails: &AtomicUsize,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut in_content = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.split_whitespace().next().unwrap_or_default() {
            "." if in_content => {
                in_content = false;
                mails.fetch_add(1, Ordering::SeqCst);
                "250 taken\r\n"
            }
            _ if in_content => continue,
            "EHLO" => "250-here\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 welcome\r\n",
            "DATA" => {
                in_content = true;
                "354 go\r\n"
            }
            _ => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        if script == Script::TakeOne && answer == "250 taken\r\n" {
            return Ok(());
        }
    }
}
