//! Settings that replaced systems spelt in parts.

use std::net::Ipv6Addr;

use url::{Host, Url};

use super::{
    SettingProblem, parse,
    source::{Found, Given, MICROSERVICE_PREFIX, Values},
    table,
};

/// Adds what is given in parts and not by a name of our own.
pub(super) fn add(values: &mut Values, given: &Given<'_>) {
    let compositions: [(&'static str, Compose); 3] =
        [(table::DATABASE_URL, database_url), (table::SMTP_URL, smtp_url), (table::MAIL_FROM, mail_from)];
    for (key, compose) in compositions {
        if values.get(key).is_some() {
            continue;
        }
        let mut parts = Parts { given, problems: Vec::new() };
        let composed = compose(&mut parts);
        if let Some(found) = composed.filter(|_| parts.problems.is_empty()) {
            values.insert(key, found);
        }
        values.problems.append(&mut parts.problems);
    }
}

/// Without its first part there is nothing to compose; what is wrong with a part is noted.
type Compose = fn(&mut Parts<'_>) -> Option<Found>;

fn database_url(parts: &mut Parts<'_>) -> Option<Found> {
    let named = |part: &str| format!("{MICROSERVICE_PREFIX}{part}");
    let host = parts.text(&named("DB_HOST"))?;
    let port = parts.port(&named("DB_PORT")).unwrap_or(5_432);
    let part_or = |found: Option<Found>, default: &str| found.map_or(default.to_owned(), |found| found.value);
    let user = part_or(parts.text(&named("DB_USER")), "auth_microservice");
    let password = part_or(parts.verbatim(&named("DB_PASS")), "auth_microservice");
    let base = part_or(parts.text(&named("DB_BASE")), "admin");
    let mut url = parts.url("postgres", &host, Some(port), &user, Some(&password))?;
    url.set_path(&base);
    Some(Found { value: url.into(), ..host })
}

fn smtp_url(parts: &mut Parts<'_>) -> Option<Found> {
    let Some(host) = parts.text("SMTP_HOST") else {
        parts.refuse_login_without_host();
        return None;
    };
    let wraps = parts.flag("SMTP_USE_SSL").is_some_and(|(wraps, _)| wraps);
    let starts = parts.flag("SMTP_USE_TLS");
    let is_plain = !wraps && matches!(starts, Some((false, _)));
    if let Some((true, name)) = &starts
        && wraps
    {
        parts.problem(name, "is true beside SMTP_USE_SSL: TLS begins later, or at once");
    }
    let port = parts.port("SMTP_PORT");
    let (user, password) = (parts.text("SMTP_USERNAME"), parts.verbatim("SMTP_PASSWORD"));
    match (&user, &password) {
        (Some(user), None) => parts.problem(&user.name, "is set without SMTP_PASSWORD"),
        (None, Some(password)) => parts.problem(&password.name, "is set without SMTP_USERNAME"),
        _ => {}
    }
    let user = user.map(|found| found.value).unwrap_or_default();
    let password = password.map(|found| found.value);
    let scheme = if wraps { "smtps" } else { "smtp" };
    let mut url = parts.url(scheme, &host, port, &user, password.as_deref())?;
    if is_plain {
        url.set_query(Some("tls=none"));
    }
    Some(Found { value: url.into(), ..host })
}

fn mail_from(parts: &mut Parts<'_>) -> Option<Found> {
    let address = parts.text("SMTP_FROM_EMAIL")?;
    Some(match parts.text("SMTP_FROM_NAME") {
        // The name that holds it, and not that of the address.
        Some(name) if name.value.contains(char::is_control) => {
            parts.problem(&name.name, "has a line break or another control character");
            return None;
        }
        Some(name) => Found { value: format!("{} <{}>", name.value, address.value), ..address },
        None => address,
    })
}

struct Parts<'a> {
    given: &'a Given<'a>,
    problems: Vec<SettingProblem>,
}

impl Parts<'_> {
    fn problem(&mut self, name: &str, problem: &str) {
        self.problems.push(SettingProblem { name: name.to_owned(), problem: problem.to_owned() });
    }

    /// A part as it was given: passwords may begin or end with a space.
    fn verbatim(&mut self, name: &str) -> Option<Found> {
        let names = [format!("{}{name}", self.given.prefix), name.to_owned()];
        match self.given.find(&names) {
            Ok(found) => found.filter(|found| !found.value.is_empty()),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn text(&mut self, name: &str) -> Option<Found> {
        let found = self.verbatim(name)?;
        let value = found.value.trim().to_owned();
        (!value.is_empty()).then_some(Found { value, ..found })
    }

    fn port(&mut self, name: &str) -> Option<u16> {
        let found = self.text(name)?;
        let port = found.value.parse().ok().filter(|port| *port > 0);
        if port.is_none() {
            self.problem(&found.name, "is not a port from 1 to 65535");
        }
        port
    }

    /// Whether it is set, and the name it was given by.
    fn flag(&mut self, name: &str) -> Option<(bool, String)> {
        let found = self.text(name)?;
        let flag = parse::boolean(&found.value);
        if flag.is_none() {
            self.problem(&found.name, parse::NOT_BOOLEAN);
        }
        flag.map(|flag| (flag, found.name))
    }

    /// Whoever gives a login thinks that mails are sent. Ports and flags stand in many files of settings without being used.
    fn refuse_login_without_host(&mut self) {
        // A host that cannot be read was given, and is named already.
        if !self.problems.is_empty() {
            return;
        }
        for found in [self.text("SMTP_USERNAME"), self.verbatim("SMTP_PASSWORD")].into_iter().flatten() {
            self.problem(&found.name, "is set without SMTP_HOST");
        }
    }

    fn url(
        &mut self,
        scheme: &str,
        host: &Found,
        port: Option<u16>,
        user: &str,
        password: Option<&str>,
    ) -> Option<Url> {
        let url = located(scheme, &host.value, port, user, password);
        if url.is_none() {
            self.problem(&host.name, "is not the name or address of a host");
        }
        url
    }
}

fn located(scheme: &str, host: &str, port: Option<u16>, user: &str, password: Option<&str>) -> Option<Url> {
    let host = match host.parse::<Ipv6Addr>() {
        Ok(address) => Host::Ipv6(address),
        Err(_) => Host::parse(host).ok()?,
    };
    let mut url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    url.set_port(port).ok()?;
    // It leaves a percent sign as it is.
    let plain = |text: &str| text.replace('%', "%25");
    url.set_username(&plain(user)).ok()?;
    url.set_password(password.map(plain).as_deref()).ok()?;
    Some(url)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn values_in(secrets: &Path, prefix: &str, pairs: &[(&str, &str)]) -> Values {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Values::with_secrets_in(secrets, prefix, pairs)
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        values_in(Path::new("/nowhere"), "", pairs)
    }

    fn smtp(pairs: &[(&str, &str)]) -> String {
        let values = values(pairs);
        assert_eq!(values.problems, []);
        values.get(table::SMTP_URL).unwrap().1.to_owned()
    }

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        values(pairs).problems.into_iter().map(|problem| problem.name).collect()
    }

    const HOST: (&str, &str) = ("SMTP_HOST", "mail.example.org");
    const USER: (&str, &str) = ("SMTP_USERNAME", "app@example.org");

    #[test]
    fn the_parts_of_a_mail_server_make_an_address() {
        assert_eq!(
            smtp(&[HOST, USER, ("SMTP_PASSWORD", " p/w#1%41 "), ("SMTP_PORT", " 2587 ")]),
            "smtp://app%40example.org:%20p%2Fw%231%2541%20@mail.example.org:2587"
        );
        assert_eq!(smtp(&[HOST]), "smtp://mail.example.org");
        assert_eq!(smtp(&[HOST, ("SMTP_USE_SSL", "True")]), "smtps://mail.example.org");
        assert_eq!(smtp(&[HOST, ("SMTP_USE_TLS", "true")]), "smtp://mail.example.org");
        assert_eq!(smtp(&[HOST, ("SMTP_USE_TLS", "off")]), "smtp://mail.example.org?tls=none");
        assert_eq!(
            smtp(&[HOST, ("SMTP_USE_TLS", "false"), ("SMTP_USE_SSL", "1")]),
            "smtps://mail.example.org"
        );
        for address in ["::1", "[::1]"] {
            assert_eq!(smtp(&[("SMTP_HOST", address), ("SMTP_PORT", "25")]), "smtp://[::1]:25");
        }
        let own = [HOST, ("SMTP_PORT", "x"), ("SMTP_URL", "smtp://other.example.org")];
        assert_eq!(smtp(&own), "smtp://other.example.org");
        assert_eq!(smtp(&[HOST, ("SMTP_URL", "")]), "smtp://mail.example.org");
        assert!(values(&[("SMTP_PORT", "587"), ("SMTP_USE_TLS", "true")]).get(table::SMTP_URL).is_none());
    }

    /// Without mail, or with mail in the clear, would be the other outcomes.
    #[test]
    fn a_part_that_cannot_be_used_stops_the_start_by_its_name() {
        for (name, value) in [
            ("SMTP_PORT", "abc"),
            ("SMTP_PORT", "0"),
            ("SMTP_PORT", "65536"),
            ("SMTP_USE_TLS", "maybe"),
            ("SMTP_USE_SSL", "ssl"),
            ("SMTP_PASSWORD", "alone"),
            ("SMTP_USERNAME", "alone"),
            ("SMTP_USERNAME", "env://MISSING"),
            ("SMTP_PORT", "file:///nowhere/at/all"),
        ] {
            assert_eq!(problems(&[HOST, (name, value)]), [name], "{value}");
        }
        for host in
            ["mail.example.org:465", "smtp://mail.example.org", "a b", "user@host", "::g", "env://MISSING"]
        {
            assert_eq!(problems(&[("SMTP_HOST", host)]), ["SMTP_HOST"], "{host}");
        }
        let all = problems(&[HOST, ("SMTP_PORT", "abc"), ("SMTP_USE_TLS", "maybe")]);
        assert_eq!(all, ["SMTP_USE_TLS", "SMTP_PORT"]);
        assert!(values(&[HOST, ("SMTP_PORT", "abc")]).get(table::SMTP_URL).is_none());
        assert_eq!(problems(&[("SMTP_FROM_EMAIL", "env://MISSING")]), ["SMTP_FROM_EMAIL"]);
    }

    #[test]
    fn parts_that_contradict_each_other_stop_the_start() {
        let both = [HOST, ("SMTP_USE_TLS", "true"), ("SMTP_USE_SSL", "true")];
        assert_eq!(problems(&both), ["SMTP_USE_TLS"]);
        let password = ("SMTP_PASSWORD", "canary");
        assert_eq!(problems(&[password]), ["SMTP_PASSWORD"]);
        assert_eq!(problems(&[USER]), ["SMTP_USERNAME"]);
        assert_eq!(problems(&[("SMTP_HOST", ""), USER, password]), ["SMTP_USERNAME", "SMTP_PASSWORD"]);
        assert_eq!(problems(&[("SMTP_HOST", "env://MISSING"), USER, password]), ["SMTP_HOST"]);
        // What has a name of our own is not composed.
        assert!(problems(&[("SMTP_URL", "smtp://mail.example.org"), password]).is_empty());
    }

    // C50
    #[test]
    fn the_name_of_a_sender_has_no_second_line() {
        let address = ("SMTP_FROM_EMAIL", "a@example.org");
        for name in ["Example\r\nBcc: b@example.org", "Exa\nmple", "Exa\tmple", "Exa\u{0}mple"] {
            assert_eq!(problems(&[address, ("SMTP_FROM_NAME", name)]), ["SMTP_FROM_NAME"], "{name:?}");
        }
    }

    #[test]
    fn parts_may_be_references_and_files_and_have_the_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("elsewhere");
        std::fs::write(&file, "canary\n").unwrap();
        let reference = format!("file://{}", file.display());
        let password = [HOST, USER, ("SMTP_PASSWORD", reference.as_str())];
        assert_eq!(smtp(&password), "smtp://app%40example.org:canary@mail.example.org");
        std::fs::write(folder.path().join("SMTP_PASSWORD"), "s3cret\n").unwrap();
        let mounted = values_in(folder.path(), "", &[HOST, USER]);
        assert_eq!(
            mounted.get(table::SMTP_URL).unwrap().1,
            "smtp://app%40example.org:s3cret@mail.example.org"
        );
        assert_eq!(mounted.get(table::SMTP_URL).unwrap().0, "SMTP_HOST");
        let prefixed =
            values_in(Path::new("/nowhere"), "APP_", &[HOST, ("APP_SMTP_HOST", "own.example.org")]);
        assert_eq!(prefixed.get(table::SMTP_URL).unwrap(), ("APP_SMTP_HOST", "smtp://own.example.org"));
    }

    #[test]
    fn the_parts_of_a_sender_make_one() {
        let given = values(&[("SMTP_FROM_EMAIL", " a@example.org "), ("SMTP_FROM_NAME", "Example, Inc.")]);
        let from = given.get(table::MAIL_FROM).unwrap();
        assert_eq!(from, ("SMTP_FROM_EMAIL", "Example, Inc. <a@example.org>"));
    }

    #[test]
    fn the_parts_of_a_database_are_held_to_the_same() {
        const DB: (&str, &str) = ("AUTH_MICROSERVICE_DB_HOST", "db_1");
        let given = values(&[DB, ("AUTH_MICROSERVICE_DB_PASS", "env://OTHER"), ("OTHER", "p%w")]);
        let url = "postgres://auth_microservice:p%25w@db_1:5432/admin";
        assert_eq!(given.get(table::DATABASE_URL), Some(("AUTH_MICROSERVICE_DB_HOST", url)));
        // An embedded database would be the other outcome.
        let port = ("AUTH_MICROSERVICE_DB_PORT", "x");
        assert_eq!(problems(&[DB, port]), ["AUTH_MICROSERVICE_DB_PORT"]);
    }
}
