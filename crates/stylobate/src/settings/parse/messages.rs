//! Who takes mails and short messages, and where chats may be.

use secrecy::ExposeSecret as _;
use stylobate_notify::{
    Budget, Budgets, ChatHosts, DkimKey, Mailbox, NotifyError, SmsGateway, SmtpSecurity, SmtpTransport,
    SmtpUrl,
};

use super::{
    Values,
    events::{certificates, days},
    flag, list, number, secret, text,
};
use crate::settings::{EventSettings, MessageSettings, table};

pub(super) fn messages(values: &mut Values, events: &EventSettings, is_production: bool) -> MessageSettings {
    let mail_from = mail_from(values);
    MessageSettings {
        smtp: smtp(values, is_production),
        dkim: dkim(values, mail_from.as_ref()),
        mail_from,
        sms: sms(values, events),
        hosts: hosts(values),
        budgets: budgets(values),
        deliveries_kept: days(values, table::NOTIFY_DELIVERIES_KEPT, 30),
    }
}

fn smtp(values: &mut Values, is_production: bool) -> Option<SmtpTransport> {
    let allows_plain = insecure_smtp_plain(values, is_production);
    let ca = certificates(values, table::SMTP_CA_FILE);
    let Some(url) = secret(values, table::SMTP_URL) else {
        only_with(values, table::SMTP_CA_FILE, "SMTP_URL");
        if allows_plain {
            only_with(values, table::SMTP_INSECURE, "SMTP_URL");
        }
        return None;
    };
    if values.get(table::MAIL_FROM).is_none() {
        let name = values.name(table::MAIL_FROM);
        values.problem(name, "is needed with SMTP_URL");
    }
    let url = match SmtpUrl::parse(url.expose_secret()) {
        Ok(url) => url,
        Err(error) => {
            let name = values.name(table::SMTP_URL);
            values.problem(name, error.to_string());
            return None;
        }
    };
    if ca.is_some() && url.security() == SmtpSecurity::None {
        let name = values.name(table::SMTP_CA_FILE);
        values.problem(name, "is set beside a mail server without TLS, which shows no certificate");
    }
    let mut builder = SmtpTransport::builder(url);
    if allows_plain {
        builder = builder.insecure_allow_plain();
    }
    if let Some(pem) = ca {
        builder = builder.trust_only(pem);
    }
    builder.build().map_err(|error| refuse(values, table::SMTP_URL, &error)).ok()
}

fn insecure_smtp_plain(values: &mut Values, is_production: bool) -> bool {
    let allowed = flag(values, table::SMTP_INSECURE, false);
    if allowed && is_production {
        let name = values.name(table::SMTP_INSECURE);
        values.problem(name, "is refused in production: whoever reads the wire would read codes and links");
    }
    // Otherwise the address that it was set for would not be named.
    allowed && !is_production
}

fn mail_from(values: &mut Values) -> Option<Mailbox> {
    let from = text(values, table::MAIL_FROM)?;
    Mailbox::parse(&from).map_err(|error| refuse(values, table::MAIL_FROM, &error.into())).ok()
}

fn dkim(values: &mut Values, from: Option<&Mailbox>) -> Option<DkimKey> {
    let Some(pem) = secret(values, table::DKIM_PRIVATE_KEY) else {
        only_with(values, table::DKIM_SELECTOR, "DKIM_PRIVATE_KEY");
        only_with(values, table::DKIM_DOMAIN, "DKIM_PRIVATE_KEY");
        return None;
    };
    let Some(selector) = text(values, table::DKIM_SELECTOR) else {
        let name = values.name(table::DKIM_SELECTOR);
        values.problem(name, "is needed with DKIM_PRIVATE_KEY");
        return None;
    };
    let own = || from.map(|from| from.address().domain().to_owned());
    let Some(domain) = text(values, table::DKIM_DOMAIN).or_else(own) else {
        let name = values.name(table::DKIM_DOMAIN);
        values.problem(name, "is needed with DKIM_PRIVATE_KEY where MAIL_FROM tells none");
        return None;
    };
    let pem = pem.expose_secret().trim().replace("\\n", "\n");
    let key = DkimKey::from_pem(&domain, &selector, &pem);
    key.map_err(|error| refuse(values, table::DKIM_PRIVATE_KEY, &error)).ok()
}

fn sms(values: &mut Values, events: &EventSettings) -> Option<SmsGateway> {
    let url = secret(values, table::SMS_URL)?;
    let gateway = events
        .client()
        .map_err(|error| error.to_string())
        .and_then(|client| SmsGateway::parse(&url, client).map_err(|error| error.to_string()));
    gateway
        .map_err(|problem| {
            let name = values.name(table::SMS_URL);
            values.problem(name, problem);
        })
        .ok()
}

fn hosts(values: &mut Values) -> ChatHosts {
    // `list` leaves out what is between two commas, and would allow nothing in silence.
    let has_gap = text(values, table::NOTIFY_HOSTS).is_some_and(|text| {
        !text.is_empty() && !text.starts_with('[') && text.split(',').any(|host| host.trim().is_empty())
    });
    if has_gap {
        let name = values.name(table::NOTIFY_HOSTS);
        values.problem(name, "lists an empty name");
        return ChatHosts::default();
    }
    let listed = list(values, table::NOTIFY_HOSTS).unwrap_or_default();
    ChatHosts::default().allow(listed).unwrap_or_else(|error| {
        refuse(values, table::NOTIFY_HOSTS, &error);
        ChatHosts::default()
    })
}

fn budgets(values: &mut Values) -> Budgets {
    let Budgets { email, sms, in_app, channel } = Budgets::default();
    let mut daily = |key, default: Budget| Budget::daily(number(values, key, default.most, 1..=1_000_000));
    Budgets {
        email: daily(table::NOTIFY_EMAIL, email),
        sms: daily(table::NOTIFY_SMS, sms),
        in_app: daily(table::NOTIFY_IN_APP, in_app),
        channel: daily(table::NOTIFY_CHANNEL, channel),
    }
}

/// What would have no effect is not left out in silence.
fn only_with(values: &mut Values, key: &'static str, other: &str) {
    if values.get(key).is_some() {
        let name = values.name(key);
        values.problem(name, format!("is set without {other}"));
    }
}

/// Names the setting that the problem is about: `key`, or the one that the error knows.
fn refuse(values: &mut Values, key: &'static str, error: &NotifyError) {
    let NotifyError::SettingInvalid { setting, problem } = *error else {
        let name = values.name(key);
        return values.problem(name, error.to_string());
    };
    let key = match setting {
        "smtp_ca" => table::SMTP_CA_FILE,
        "dkim_domain" => table::DKIM_DOMAIN,
        "dkim_selector" => table::DKIM_SELECTOR,
        _ => key,
    };
    let name = values.name(key);
    values.problem(name, problem);
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;

    const SERVER: (&str, &str) = ("SMTP_URL", "smtp://app:pw@mail.example.org");
    const FROM: (&str, &str) = ("MAIL_FROM", "Example <no-reply@example.org>");
    const KEY: (&str, &str) =
        ("DKIM_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n");

    #[test]
    fn mail_needs_a_server_that_encrypts_and_a_sender() {
        let given = settings(&[SERVER, FROM]).unwrap().messages;
        assert_eq!(given.smtp.unwrap().url().to_string(), "smtp://mail.example.org:587");
        assert_eq!(given.mail_from.unwrap().address().as_str(), "no-reply@example.org");
        assert!(given.dkim.is_none());
        assert_eq!(problems(&[SERVER]), ["MAIL_FROM"]);
        for from in [
            "a\r\nBcc: b@example.org",
            "a\r\nBcc: b@example.org <a@example.org>",
            "a\tb <a@example.org>",
            "\"a\0\" <a@example.org>",
        ] {
            assert_eq!(problems(&[("MAIL_FROM", from)]), ["MAIL_FROM"], "{from:?}");
        }
        for server in
            ["smtp://mail.example.org:0", "smtps://mail.example.org:0", "smtp://127.0.0.1:0?tls=none"]
        {
            assert_eq!(problems(&[("SMTP_URL", server), FROM]), ["SMTP_URL"], "{server}");
        }
        let plain = ("SMTP_URL", "smtp://mail.example.org?tls=none");
        assert_eq!(problems(&[plain, FROM]), ["SMTP_URL"]);
        assert!(settings(&[plain, FROM, ("SMTP_INSECURE_PLAIN", "true")]).is_ok());
        assert!(settings(&[("SMTP_URL", "smtp://127.0.0.1:2525?tls=none"), FROM]).is_ok());
        // It would allow nothing.
        assert_eq!(problems(&[FROM, ("SMTP_INSECURE_PLAIN", "true")]), ["SMTP_INSECURE_PLAIN"]);
        assert!(settings(&[FROM, ("SMTP_INSECURE_PLAIN", "false")]).is_ok());
    }

    // A34, C50
    #[test]
    fn production_sends_no_mail_in_the_clear_but_to_this_machine() {
        let refused = |pairs: &[(&str, &str)]| {
            let error = settings(&[&[("APP_ENV", "production"), FROM][..], pairs].concat()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
            let names = error.problems.into_iter().map(|problem| problem.name);
            names.filter(|name| name.starts_with("SMTP_")).collect::<Vec<_>>()
        };
        let plain = ("SMTP_URL", "smtp://canary:canary@mail.example.org?tls=none");
        assert_eq!(refused(&[plain]), ["SMTP_URL"]);
        // Nor does it help to allow it.
        assert_eq!(refused(&[plain, ("SMTP_INSECURE_PLAIN", "true")]), ["SMTP_INSECURE_PLAIN", "SMTP_URL"]);
        let parts = [("SMTP_HOST", "mail.example.org"), ("SMTP_USE_TLS", "false")];
        assert_eq!(
            refused(&[&parts[..], &[("SMTP_USERNAME", "a"), ("SMTP_PASSWORD", "canary")]].concat()),
            ["SMTP_HOST"]
        );
        for sound in [
            "smtp://canary:canary@mail.example.org",
            "smtps://canary:canary@mail.example.org",
            // Nobody else reads that wire.
            "smtp://canary:canary@127.0.0.1:25?tls=none",
            "smtp://canary:canary@[::1]:25?tls=none",
        ] {
            assert!(refused(&[("SMTP_URL", sound)]).is_empty(), "{sound}");
        }
    }

    #[test]
    fn authorities_of_a_mail_server_are_certificates_and_have_a_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let authority = ("SMTP_CA_FILE", path.to_str().unwrap());
        std::fs::write(&path, stylobate_testkit::certificates::AUTHORITY).unwrap();
        assert!(settings(&[SERVER, FROM, authority]).is_ok());
        // Mails would not be sent, and somebody thinks that they are.
        assert_eq!(problems(&[authority]), ["SMTP_CA_FILE"]);
        // Nobody would be held against it.
        let plain = ("SMTP_URL", "smtp://127.0.0.1:2525?tls=none");
        assert_eq!(problems(&[plain, FROM, authority]), ["SMTP_CA_FILE"]);
        let parts = [("SMTP_HOST", "127.0.0.1"), ("SMTP_USE_TLS", "false"), FROM, authority];
        assert_eq!(problems(&parts), ["SMTP_CA_FILE"]);
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(problems(&[SERVER, FROM, authority]), ["SMTP_CA_FILE"]);
    }

    #[test]
    fn a_key_that_signs_nothing_stops_the_start() {
        let selector = ("DKIM_SELECTOR", "s1");
        assert_eq!(problems(&[SERVER, FROM, KEY]), ["DKIM_SELECTOR"]);
        assert_eq!(problems(&[SERVER, FROM, KEY, selector]), ["DKIM_PRIVATE_KEY"]);
        assert_eq!(problems(&[KEY, selector]), ["DKIM_DOMAIN"]);
        assert_eq!(problems(&[FROM, KEY, selector, ("DKIM_DOMAIN", "not a domain")]), ["DKIM_DOMAIN"]);
        assert_eq!(problems(&[FROM, KEY, ("DKIM_SELECTOR", "s 1")]), ["DKIM_SELECTOR"]);
    }

    #[test]
    fn a_signature_without_a_key_stops_the_start() {
        let parts = [SERVER, FROM, ("DKIM_SELECTOR", "s1"), ("DKIM_DOMAIN", "example.org")];
        assert_eq!(problems(&parts), ["DKIM_SELECTOR", "DKIM_DOMAIN"]);
    }

    #[test]
    fn gateways_and_hosts_are_held_against_the_rest_at_once() {
        let wrong = [
            ("SMS_URL", "twilio://AC1:canary@api.twilio.com"),
            ("NOTIFY_ALLOWED_HOSTS", "https://chat.example.org"),
            ("NOTIFY_EMAIL_PER_DAY", "0"),
        ];
        let error = settings(&wrong).unwrap_err();
        let named: Vec<_> = error.problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(named, ["SMS_URL", "NOTIFY_ALLOWED_HOSTS", "NOTIFY_EMAIL_PER_DAY"]);
        assert!(!format!("{error} {error:?}").contains("canary"));
        for hosts in [
            "chat.example.org:8065",
            "chat.example.org/hooks",
            "*.example.org",
            "a, b c",
            ",,",
            ",",
            "a,,b",
            "a,",
            ".x.test",
            "a, .x.test",
            "a..test",
            ".",
            r#"[""]"#,
            r#"[".x.test"]"#,
        ] {
            assert_eq!(problems(&[("NOTIFY_ALLOWED_HOSTS", hosts)]), ["NOTIFY_ALLOWED_HOSTS"], "{hosts}");
        }
        assert!(settings(&[("NOTIFY_ALLOWED_HOSTS", "chat.example.org., Chat, 10.1.2.3, [::1]")]).is_ok());
        for url in [
            "twilio://AC1@api.twilio.com?from=%2B15550100",
            "twilio://AC1:canary@api.twilio.com?from=%2B15550100&form=canary",
            "vonage://canary@rest.nexmo.com?from=A",
            "https://u:canary@sms.example.org/send?sms_form_field=canary",
        ] {
            let error = settings(&[("SMS_URL", url)]).unwrap_err();
            assert_eq!(problems(&[("SMS_URL", url)]), ["SMS_URL"], "{url}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        // A gateway may be where webhooks may be.
        let gateway = ("SMS_URL", "http://127.0.0.1:8080/send");
        assert_eq!(problems(&[gateway]), ["SMS_URL"]);
        let there = [("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1"), ("WEBHOOK_INSECURE_ALLOW_HTTP", "true")];
        assert!(settings(&[gateway, there[0], there[1]]).unwrap().messages.sms.is_some());
    }

    #[test]
    fn budgets_are_as_set() {
        let given = [("NOTIFY_EMAIL_PER_DAY", "7"), ("STYLOBATE_NOTIFY__SMS_PER_DAY", "2")];
        let budgets = settings(&given).unwrap().messages.budgets;
        assert_eq!((budgets.email.most, budgets.sms.most, budgets.in_app.most), (7, 2, 1_000));
        assert_eq!(settings(&[]).unwrap().messages.budgets, stylobate_notify::Budgets::default());
    }

    #[test]
    fn no_secret_of_these_is_shown() {
        let given = [
            ("SMTP_URL", "smtps://app:canary@mail.example.org"),
            FROM,
            ("SMS_URL", "twilio://AC1canary:canary@api.twilio.com?from=%2B15550100"),
        ];
        let shown = format!("{:?}", settings(&given).unwrap());
        assert!(shown.contains("smtps://mail.example.org") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn parts_of_a_mail_server_are_held_to_the_same_as_its_address() {
        let parts = [("SMTP_HOST", "mail.example.org"), ("SMTP_FROM_EMAIL", "no-reply@example.org")];
        let given = settings(&parts).unwrap().messages;
        assert_eq!(given.smtp.unwrap().url().to_string(), "smtp://mail.example.org:587");
        let wrapped = settings(&[&parts[..], &[("SMTP_USE_SSL", "true")]].concat()).unwrap().messages;
        assert_eq!(wrapped.smtp.unwrap().url().to_string(), "smtps://mail.example.org:465");
        // In the clear only where that is allowed.
        assert_eq!(problems(&[&parts[..], &[("SMTP_USE_TLS", "false")]].concat()), ["SMTP_HOST"]);
        assert_eq!(problems(&[parts[0], ("SMTP_FROM_EMAIL", "nobody")]), ["SMTP_FROM_EMAIL"]);
        // Nothing would be sent, and somebody thinks that it is.
        assert_eq!(problems(&[("SMTP_PASSWORD", "canary")]), ["SMTP_PASSWORD"]);
        // Production would run without mail.
        let production = problems(&[&parts[..], &[("APP_ENV", "production"), ("SMTP_PORT", "abc")]].concat());
        assert!(production.iter().any(|name| name == "SMTP_PORT"), "{production:?}");
    }
}
