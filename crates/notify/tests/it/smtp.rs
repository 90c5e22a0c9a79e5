use std::time::Duration;

use stylobate_notify::{
    FailureClass, MailTransport as _, SendError, SmtpLimits, SmtpTransport, SmtpUrl, conformance,
};
use stylobate_testkit::certificates::AUTHORITY;

use super::world::{Script, Scripted, address, arrived, mail, transport};

/// Limits under which a server is slow soon.
fn impatient(address: &str) -> SmtpTransport {
    let limits = SmtpLimits { command: Duration::from_millis(300), ..SmtpLimits::default() };
    let url = SmtpUrl::parse(address).unwrap();
    SmtpTransport::builder(url).trust_only(AUTHORITY).limits(limits).build().unwrap()
}

async fn refused(transport: &SmtpTransport, to: &str) -> SendError {
    let mail = mail(to);
    let error = transport.send(&mail).await.expect_err(to);
    assert_eq!(arrived(mail.id()).len(), 0, "{to}");
    error
}

async fn taken(transport: &SmtpTransport) {
    let mail = mail("ada");
    assert_eq!(transport.send(&mail).await.unwrap().status, Some(250));
    assert_eq!(arrived(mail.id()).len(), 1);
}

#[tokio::test]
async fn mails_arrive_as_they_were_written() {
    for name in ["PLAIN", "STARTTLS", "TLS"] {
        let transport = transport(&address(name));
        conformance::mail_transport(&transport, async |id| arrived(id)).await;
    }
}

// C50
#[tokio::test]
async fn a_certificate_that_names_another_host_or_that_nobody_vouches_for_is_refused() {
    for name in ["STARTTLS", "TLS"] {
        let right = address(name);
        let wrong = right.replace("127.0.0.1", "localhost");
        assert_ne!(right, wrong);
        let unknown = SmtpTransport::builder(SmtpUrl::parse(&right).unwrap()).build().unwrap();
        for transport in [transport(&wrong), unknown] {
            let error = refused(&transport, "ada").await;
            assert_eq!((error.code, error.class), ("smtp_tls_failed", FailureClass::Outage), "{name}");
            assert_eq!(transport.check().await.unwrap_err().code, "smtp_tls_failed");
        }
        taken(&transport(&right)).await;
    }
}

// C50, ASVS 12.3.1
#[tokio::test]
async fn a_server_that_offers_no_tls_gets_no_mail_and_no_password() {
    let plain = address("PLAIN").replace("?tls=none", "");
    assert_eq!(refused(&transport(&plain), "ada").await.code, "smtp_tls_failed");
    // This one would take everything.
    let server = Scripted::start(Script::Take).await;
    let error = transport(&server.starttls()).send(&mail("ada")).await.unwrap_err();
    assert_eq!((error.code, server.mails()), ("smtp_tls_failed", 0));
    // And TLS from the first byte finds no TLS there.
    let implicit = server.plain().replace("smtp://", "smtps://").replace("?tls=none", "");
    assert!(transport(&implicit).send(&mail("ada")).await.is_err());
}

#[tokio::test]
async fn what_is_said_before_tls_does_not_count_after_it() {
    let sound = Scripted::start(Script::StartTls).await;
    transport(&sound.starttls()).send(&mail("ada")).await.unwrap();
    assert_eq!(sound.mails(), 1);
    let server = Scripted::start(Script::SpeakBeforeTls).await;
    let error = transport(&server.starttls()).send(&mail("ada")).await.unwrap_err();
    assert_eq!((error.code, error.class), ("smtp_tls_failed", FailureClass::Outage));
    assert_eq!(server.mails(), 0);
}

#[tokio::test]
async fn plain_mail_goes_to_this_machine_only_unless_it_is_allowed() {
    let url = SmtpUrl::parse("smtp://mail.example.test?tls=none").unwrap();
    let error = SmtpTransport::builder(url.clone()).build().unwrap_err();
    assert_eq!(error.code(), "notify_setting_invalid");
    assert!(SmtpTransport::builder(url).insecure_allow_plain().build().is_ok());
    let encrypted = SmtpUrl::parse("smtp://mail.example.test").unwrap();
    for pem in ["", "nonsense"] {
        assert!(SmtpTransport::builder(encrypted.clone()).trust_only(pem).build().is_err());
    }
}

#[tokio::test]
async fn a_refusal_is_told_by_its_class_and_the_next_mail_goes() {
    for name in ["PLAIN", "STARTTLS", "TLS"] {
        let transport = transport(&address(name));
        for (to, status, class, code) in [
            ("refuse-550", 550, FailureClass::BadRecipient, "smtp_recipient_refused"),
            ("refuse-554", 554, FailureClass::Permanent, "smtp_refused"),
            ("defer-451", 451, FailureClass::TRANSIENT, "smtp_deferred"),
            ("busy-421", 421, FailureClass::Outage, "smtp_unavailable"),
            ("spam", 554, FailureClass::Permanent, "smtp_refused"),
        ] {
            let error = refused(&transport, to).await;
            assert_eq!((error.status, error.class, error.code), (Some(status), class, code), "{to}");
            // A24: servers repeat addresses.
            assert!(!format!("{error} {error:?}").contains(to), "{error:?}");
            taken(&transport).await;
        }
    }
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_an_outage_that_the_operator_ends() {
    for name in ["PLAIN", "STARTTLS", "TLS"] {
        let right = address(name);
        let (before, after) = (right.find("://").unwrap() + 3, right.find('@').unwrap());
        let (scheme, host) = (&right[..before], &right[after + 1..]);
        for (login, status) in [("stylobate:wrong@", 535), ("", 530)] {
            let error = refused(&transport(&format!("{scheme}{login}{host}")), "ada").await;
            assert_eq!((error.code, error.status), ("smtp_login_refused", Some(status)), "{name}");
            assert_eq!(error.class, FailureClass::Outage);
        }
    }
}

#[tokio::test]
async fn a_slow_server_is_given_up_and_its_late_answer_is_nobodys() {
    let transport = impatient(&address("STARTTLS"));
    taken(&transport).await;
    let error = refused(&transport, "slow").await;
    assert_eq!((error.code, error.class), ("smtp_timeout", FailureClass::TRANSIENT));
    taken(&transport).await;
    let silent = Scripted::start(Script::Silent).await;
    for address in [silent.plain(), silent.starttls()] {
        let error = impatient(&address).send(&mail("ada")).await.unwrap_err();
        assert_eq!((error.code, error.class), ("smtp_timeout", FailureClass::Outage));
    }
}

#[tokio::test]
async fn all_of_it_takes_no_longer_than_allowed() {
    let silent = Scripted::start(Script::Silent).await;
    let limits = SmtpLimits { total: Duration::from_millis(200), ..SmtpLimits::default() };
    let url = SmtpUrl::parse(&silent.plain()).unwrap();
    let transport = SmtpTransport::builder(url).limits(limits).build().unwrap();
    let mail = mail("ada");
    let sent = tokio::time::timeout(Duration::from_secs(8), transport.send(&mail)).await;
    assert_eq!(sent.expect("less than the limit of a command").unwrap_err().code, "smtp_timeout");
}

#[tokio::test]
async fn a_cut_connection_is_told_and_the_next_mail_goes() {
    let transport = transport(&address("TLS"));
    let error = refused(&transport, "drop").await;
    assert_eq!((error.code, error.class), ("smtp_cut", FailureClass::TRANSIENT));
    taken(&transport).await;
}

#[tokio::test]
async fn a_server_that_is_away_or_closed_is_an_outage() {
    // Nobody listens on port 1.
    let away = transport("smtp://127.0.0.1:1?tls=none");
    let error = away.send(&mail("ada")).await.unwrap_err();
    assert_eq!((error.code, error.class), ("smtp_unreachable", FailureClass::Outage));
    assert_eq!(away.check().await.unwrap_err().code, "smtp_unreachable");
    let closed = Scripted::start(Script::Closed).await;
    for address in [closed.plain(), closed.starttls()] {
        let error = transport(&address).send(&mail("ada")).await.unwrap_err();
        assert_eq!((error.code, error.status), ("smtp_unavailable", Some(554)));
        assert_eq!(error.class, FailureClass::Outage);
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_it_was_closed() {
    let server = Scripted::start(Script::Take).await;
    let patient = transport(&server.plain());
    for _ in 0..5 {
        patient.send(&mail("ada")).await.unwrap();
        patient.check().await.unwrap();
    }
    assert_eq!((server.mails(), server.connections()), (5, 1));

    let closing = Scripted::start(Script::TakeOne).await;
    let patient = transport(&closing.plain());
    for _ in 0..3 {
        patient.send(&mail("ada")).await.unwrap();
    }
    assert_eq!((closing.mails(), closing.connections()), (3, 3));
}

#[tokio::test]
async fn there_are_no_more_connections_than_allowed() {
    let server = Scripted::start(Script::Take).await;
    let url = SmtpUrl::parse(&server.plain()).unwrap();
    let limits = SmtpLimits { connections: 2, ..SmtpLimits::default() };
    let transport = SmtpTransport::builder(url).limits(limits).build().unwrap();
    let sending: Vec<_> = (0..20)
        .map(|_| {
            let transport = transport.clone();
            tokio::spawn(async move { transport.send(&mail("ada")).await })
        })
        .collect();
    for sent in sending {
        sent.await.unwrap().unwrap();
    }
    assert_eq!((server.mails(), server.connections() <= 2), (20, true));
}
