use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::json;
use stylobate_core::{BoxFuture, Clock as _, Message, MessageSender as _, PersonId, TenantId};
use stylobate_notify::{
    Contact, Direct, Directory, DirectoryError, FailureClass, FileTransport, LogTransport, Mail,
    MailTransport, Receipt, SendError,
};
use stylobate_testkit::ManualClock;

use super::world::{catalogue, product, sender};

/// Knows one person.
struct Known(PersonId, Contact);

impl Directory for Known {
    fn contact(&self, person: PersonId) -> BoxFuture<'_, Result<Option<Contact>, DirectoryError>> {
        let contact = (person == self.0).then(|| self.1.clone());
        Box::pin(std::future::ready(Ok(contact)))
    }
}

fn ada() -> (PersonId, Contact) {
    let contact = Contact {
        name: "Ada".to_owned(),
        email: Some("ada@example.test".to_owned()),
        locale: Some("de-AT".to_owned()),
        ..Contact::default()
    };
    (PersonId::new(ManualClock::new().now()), contact)
}

fn direct(transport: impl MailTransport + 'static, known: (PersonId, Contact)) -> Direct {
    Direct::builder(catalogue(), product(), sender(), Arc::new(transport))
        .directory(Arc::new(Known(known.0, known.1)))
        .clock(Arc::new(ManualClock::new()))
        .build()
}

fn mails(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    files.map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn code() -> serde_json::Value {
    json!({ "code": "424242" })
}

#[tokio::test]
async fn a_person_is_written_to_in_their_language_at_their_address() {
    let folder = tempfile::tempdir().unwrap();
    let (person, contact) = ada();
    let direct = direct(FileTransport::new(folder.path()), (person, contact));
    direct.send(Message::to_person("code", person).with(code())).await.unwrap();
    let mails = mails(folder.path());
    assert_eq!(mails.len(), 1);
    for line in ["To: Ada <ada@example.test>", "Subject: Ihr Code", "Date: Sun, 01 Mar 2026 12:00:00 +0000"] {
        assert!(mails[0].contains(line), "{line}: {}", mails[0]);
    }
}

#[tokio::test]
async fn an_address_is_written_to_without_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let transport = Arc::new(FileTransport::new(folder.path()));
    let direct = Direct::builder(catalogue(), product(), sender(), transport).build();
    direct.deliver(&Message::to_email("code", "eve@example.test").with(code())).await.unwrap();
    assert!(mails(folder.path())[0].contains("To: eve@example.test\r\n"));
    let person = Message::to_person("code", ada().0).with(code());
    assert_eq!(direct.deliver(&person).await.unwrap_err().code(), "notify_unreachable");
}

#[tokio::test]
async fn whoever_has_no_address_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let (person, contact) = ada();
    let nameless = Contact { email: None, ..contact };
    let direct = direct(FileTransport::new(folder.path()), (person, nameless));
    for person in [person, PersonId::new(stylobate_core::SystemClock.now())] {
        let error = direct.deliver(&Message::to_person("code", person).with(code())).await.unwrap_err();
        assert_eq!(error.code(), "notify_unreachable");
    }
    assert_eq!(mails(folder.path()).len(), 0);
}

#[tokio::test]
async fn a_message_with_a_key_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let (person, contact) = ada();
    let direct = direct(FileTransport::new(folder.path()), (person, contact));
    let message = || Message::to_person("code", person).with(code());
    // What could not be sent has not been sent.
    assert!(direct.deliver(&Message::to_person("code", person).key("1")).await.is_err());
    let (first, second) = tokio::join!(direct.send(message().key("1")), direct.send(message().key("1")));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(mails(folder.path()).len(), 1);
    let tenant = TenantId::new(ManualClock::new().now());
    for other in [message().key("2"), message().key("1").in_tenant(tenant), message(), message()] {
        direct.deliver(&other).await.unwrap();
    }
    assert_eq!(mails(folder.path()).len(), 5);
}

/// Refuses as many mails as it says, each after others had their turn, and takes the rest.
struct Refusing(Mutex<u32>, Arc<Mutex<u32>>);

impl MailTransport for Refusing {
    fn send<'a>(&'a self, _: &'a Mail) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut left = self.0.lock().unwrap();
            if let Some(fewer) = left.checked_sub(1) {
                *left = fewer;
                let words = "the mail server does not take this mail";
                return Err(SendError {
                    class: FailureClass::Permanent,
                    code: "smtp_refused",
                    status: None,
                    words,
                });
            }
            *self.1.lock().unwrap() += 1;
            Ok(Receipt { status: None })
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_second_one_with_its_key_is_not_told_of_a_mail_that_nobody_sent() {
    let (person, contact) = ada();
    let message = Message::to_person("code", person).with(code()).key("1");
    for (refusals, outcomes, mails) in [(0, [true, true], 1), (1, [false, true], 1), (2, [false, false], 0)] {
        let taken = Arc::new(Mutex::new(0));
        let direct = direct(Refusing(Mutex::new(refusals), Arc::clone(&taken)), (person, contact.clone()));
        let (first, second) = tokio::join!(direct.deliver(&message), direct.deliver(&message));
        assert_eq!([first.is_ok(), second.is_ok()], outcomes, "{refusals}");
        assert_eq!(*taken.lock().unwrap(), mails, "{refusals}");
    }
}

/// A log that a test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// A24
#[tokio::test]
async fn the_log_says_that_there_was_a_mail_and_not_what_was_in_it() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let (person, contact) = ada();
    let contact = Contact { locale: None, ..contact };
    let direct = direct(LogTransport, (person, contact));
    let guard = tracing::subscriber::set_default(subscriber);
    direct.deliver(&Message::to_person("code", person).with(json!({ "code": "canary" }))).await.unwrap();
    drop(guard);
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("a…@example.test"), "{said}");
    assert!(!said.contains("canary") && !said.contains("ada@"), "{said}");
}
