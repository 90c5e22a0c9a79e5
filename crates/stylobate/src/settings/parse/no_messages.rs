//! Settings of messages in a build that sends none.

use super::{Values, table};

/// A setting that nothing would heed is not left out in silence.
pub(super) fn refuse(values: &mut Values) {
    for key in [
        table::SMTP_URL,
        table::SMTP_CA_FILE,
        table::SMTP_INSECURE,
        table::MAIL_FROM,
        table::DKIM_DOMAIN,
        table::DKIM_SELECTOR,
        table::DKIM_PRIVATE_KEY,
        table::SMS_URL,
        table::NOTIFY_HOSTS,
        table::NOTIFY_EMAIL,
        table::NOTIFY_SMS,
        table::NOTIFY_IN_APP,
        table::NOTIFY_CHANNEL,
        table::NOTIFY_DELIVERIES_KEPT,
    ] {
        if values.get(key).is_some() {
            let name = values.name(key);
            values.problem(name, "needs a build with the feature `notify`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;

    #[test]
    fn what_nothing_would_heed_is_named() {
        let given = [("MAIL_FROM", "no-reply@example.org"), ("SMTP_HOST", "mail.example.org")];
        assert_eq!(problems(&given), ["SMTP_HOST", "MAIL_FROM"]);
        assert!(settings(&[]).is_ok());
    }
}
