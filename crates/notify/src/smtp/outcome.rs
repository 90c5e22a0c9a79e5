use std::error::Error as _;

use lettre::transport::smtp::{
    Error as SmtpError,
    response::{Code, Response},
};

use crate::{FailureClass, SendError};

/// What the server was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Itself: greeting, hello, TLS, and whether it is still there.
    Session,
    /// Who we are.
    Login,
    /// A mail from us.
    Mail,
    /// Its recipient.
    Recipient,
    /// Whether its content may come.
    Data,
    /// Its content.
    Content,
}

impl Stage {
    /// Whether `status` says yes to it. The client of the library takes every 2yz and 3yz for a yes.
    fn is_granted_by(self, status: u16) -> bool {
        if self == Self::Data { status == 354 } else { (200..300).contains(&status) }
    }
}

pub(super) fn unreachable() -> SendError {
    SendError {
        class: FailureClass::Outage,
        code: "smtp_unreachable",
        status: None,
        words: "the mail server cannot be reached",
    }
}

pub(super) fn not_encrypted() -> SendError {
    SendError {
        class: FailureClass::Outage,
        code: "smtp_tls_failed",
        status: None,
        words: "the connection to the mail server could not be encrypted, or its certificate is not its own",
    }
}

pub(super) fn timed_out() -> SendError {
    SendError {
        class: FailureClass::TRANSIENT,
        code: "smtp_timeout",
        status: None,
        words: "the mail server did not answer in time",
    }
}

fn login_refused(status: Option<u16>) -> SendError {
    SendError {
        class: FailureClass::Outage,
        code: "smtp_login_refused",
        status,
        words: "the mail server does not take our name and password",
    }
}

fn cut() -> SendError {
    SendError {
        class: FailureClass::TRANSIENT,
        code: "smtp_cut",
        status: None,
        words: "the mail server broke off",
    }
}

/// Without the status: whoever answers something else is not spoken to any further.
fn out_of_step() -> SendError {
    SendError {
        class: FailureClass::TRANSIENT,
        code: "smtp_out_of_step",
        status: None,
        words: "the mail server did not answer what it was asked",
    }
}

/// What it means that a command was answered so; `Ok` is a yes.
pub(super) fn answered(stage: Stage, answer: Result<Response, SmtpError>) -> Result<u16, SendError> {
    let status = number(answer.map_err(|error| failed(stage, &error))?.code());
    if stage.is_granted_by(status) { Ok(status) } else { Err(out_of_step()) }
}

/// What it means that a command failed.
pub(super) fn failed(stage: Stage, error: &SmtpError) -> SendError {
    match error.status() {
        Some(code) => {
            let said = error.source().map(ToString::to_string).unwrap_or_default();
            refused(stage, number(code), &said)
        }
        None => match stage {
            Stage::Session => unreachable(),
            // It offers no way of telling who we are that is known here.
            Stage::Login if error.is_client() => login_refused(None),
            Stage::Login => unreachable(),
            Stage::Mail | Stage::Recipient | Stage::Data | Stage::Content => cut(),
        },
    }
}

/// What a refusal means (RFC 5321 §4.2.2, RFC 4954 §6, RFC 3463). `said` is read for the enhanced code at its beginning and is not
/// kept.
pub(super) fn refused(stage: Stage, status: u16, said: &str) -> SendError {
    let error = |class, code, words| SendError { class, code, status: Some(status), words };
    let detail = enhanced(said);
    match (stage, status) {
        (_, 421) | (Stage::Session, _) => {
            error(FailureClass::Outage, "smtp_unavailable", "the mail server takes no mails now")
        }
        (Stage::Login, 400..500) => {
            error(FailureClass::Outage, "smtp_unavailable", "the mail server cannot tell now who we are")
        }
        (Stage::Login, _) | (_, 530 | 534 | 535 | 538) => login_refused(Some(status)),
        (_, 400..500) => error(FailureClass::TRANSIENT, "smtp_deferred", "the mail server wants it later"),
        // That it does not relay for us, or takes us for spam, says nothing about the recipient; without a detail, 550 may be that.
        (Stage::Recipient, 550 | 551 | 553) if matches!(detail, Some((5, 1, _) | (5, 2, 1))) => error(
            FailureClass::BadRecipient,
            "smtp_recipient_refused",
            "the mail server knows no such recipient",
        ),
        (Stage::Recipient | Stage::Data | Stage::Content, _) if matches!(detail, Some((5, 1, _))) => error(
            FailureClass::BadRecipient,
            "smtp_recipient_refused",
            "the mail server knows no such recipient",
        ),
        _ => error(FailureClass::Permanent, "smtp_refused", "the mail server does not take this mail"),
    }
}

fn number(code: Code) -> u16 {
    code.into()
}

/// `5.1.1` at the beginning of what a server said (RFC 2034).
fn enhanced(said: &str) -> Option<(u16, u16, u16)> {
    let mut parts = said.split_ascii_whitespace().next()?.splitn(3, '.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_says_what_to_do() {
        use FailureClass::{BadRecipient, Outage, Permanent};
        let transient = FailureClass::TRANSIENT;
        for (stage, status, said, class) in [
            (Stage::Session, 554, "no", Outage),
            (Stage::Session, 450, "later", Outage),
            (Stage::Login, 535, "5.7.8 no", Outage),
            (Stage::Login, 454, "4.7.0 later", Outage),
            (Stage::Mail, 530, "5.7.0 who?", Outage),
            (Stage::Mail, 421, "4.3.2 closing", Outage),
            (Stage::Mail, 451, "4.3.0 later", transient),
            (Stage::Mail, 550, "5.7.1 not from you", Permanent),
            (Stage::Recipient, 450, "4.2.0 greylisted", transient),
            (Stage::Recipient, 550, "5.1.1 nobody", BadRecipient),
            (Stage::Recipient, 550, "relaying denied", Permanent),
            (Stage::Recipient, 551, "elsewhere", Permanent),
            (Stage::Recipient, 551, "5.1.6 moved", BadRecipient),
            (Stage::Recipient, 553, "not a local one", Permanent),
            (Stage::Recipient, 553, "5.1.3 no address", BadRecipient),
            (Stage::Recipient, 550, "5.2.1 off", BadRecipient),
            (Stage::Recipient, 554, "5.7.1 relay access denied", Permanent),
            (Stage::Recipient, 550, "5.7.1 spam", Permanent),
            (Stage::Recipient, 552, "5.2.2 full", Permanent),
            (Stage::Data, 554, "5.1.1 nobody", BadRecipient),
            (Stage::Data, 451, "4.3.0 later", transient),
            (Stage::Content, 554, "5.6.0 no", Permanent),
            (Stage::Content, 550, "5.1.1 nobody after all", BadRecipient),
            (Stage::Content, 550, "nobody", Permanent),
            (Stage::Content, 452, "4.3.1 full", transient),
        ] {
            let error = refused(stage, status, said);
            assert_eq!((error.class, error.status), (class, Some(status)), "{stage:?} {status} {said}");
        }
    }

    // A24
    #[test]
    fn nothing_that_was_said_is_kept() {
        let error = refused(Stage::Recipient, 550, "5.1.1 <canary@example.test> unknown");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
