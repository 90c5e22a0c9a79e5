use std::borrow::Cow;

use secrecy::SecretString;
use stylobate_egress::{AddressPolicy, Target, http::HeaderName};
use url::Url;

use super::preset::{Auth, Fields, Format, Preset};
use crate::percent;

/// A text that names no gateway. What it says is not repeated, but for the name of a parameter: it holds credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a gateway for short messages: {0}")]
pub struct SmsUrlInvalid(Cow<'static, str>);

fn invalid(problem: &'static str) -> SmsUrlInvalid {
    SmsUrlInvalid(Cow::Borrowed(problem))
}

/// Reads the URL of a gateway; hosts are those that `policy` allows, as far as their text tells.
pub(super) fn parse(text: &str, policy: &AddressPolicy) -> Result<Preset, SmsUrlInvalid> {
    let url = Url::parse(text.trim()).map_err(|_| invalid("it is no URL"))?;
    match url.scheme() {
        "twilio" | "twilio+http" => {
            let (sid, token) = credentials(&url)?.ok_or(invalid("it has no credentials"))?;
            if sid.is_empty() || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(invalid("its user is no account"));
            }
            if token.is_empty() {
                return Err(invalid("it has an account without token"));
            }
            only_from(&url)?;
            let from = sender(&url, "from")?.ok_or(invalid("it has no `from`"))?;
            let path = format!("/2010-04-01/Accounts/{sid}/Messages.json");
            let target = target(&format!("{}{path}", origin(&url)?), policy)?;
            Ok(Preset::Twilio { target, sid, token: token.into(), from })
        }
        "vonage" | "vonage+http" => {
            let (key, secret) = credentials(&url)?.ok_or(invalid("it has no credentials"))?;
            if key.is_empty() || secret.is_empty() {
                return Err(invalid("it has a key without secret, or a secret without key"));
            }
            only_from(&url)?;
            let from = sender(&url, "from")?.ok_or(invalid("it has no `from`"))?;
            let target = target(&format!("{}/sms/json", origin(&url)?), policy)?;
            Ok(Preset::Vonage { target, key, secret: secret.into(), from })
        }
        "https" | "http" => generic(url, policy),
        _ => Err(invalid("its scheme is not `twilio`, `vonage` or `https`")),
    }
}

/// What [`generic`] reads from the query itself; parameters that do not begin like these are the gateway's.
const OWN_PARAMETERS: [&str; 6] =
    ["sms_from", "sms_auth", "sms_format", "sms_to_field", "sms_from_field", "sms_text_field"];

fn generic(mut url: Url, policy: &AddressPolicy) -> Result<Preset, SmsUrlInvalid> {
    known(&url, |name| OWN_PARAMETERS.contains(&name) || !name.starts_with("sms_"))?;
    let find =
        |name: &str| url.query_pairs().find(|(one, _)| one == name).map(|(_, value)| value.into_owned());
    let auth = match (credentials(&url)?, find("sms_auth").as_deref()) {
        (None, None) => Auth::None,
        (None, Some(_)) => return Err(invalid("it has no credentials")),
        (Some((_, password)), Some(auth)) if auth != "basic" && password.is_empty() => {
            return Err(invalid("it has no password, which `sms_auth` shows"));
        }
        (Some((user, password)), None | Some("basic")) => Auth::Basic { user, password: password.into() },
        (Some((_, password)), Some("bearer")) => Auth::Bearer(SecretString::from(password)),
        (Some((_, password)), Some(name)) => {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("`sms_auth` is no header"))?;
            Auth::Header { name, value: password.into() }
        }
    };
    let format = match find("sms_format").as_deref() {
        None | Some("json") => Format::Json,
        Some("form") => Format::Form,
        Some(_) => return Err(invalid("`sms_format` is not `json` or `form`")),
    };
    let field = |name: &str, default: &str| match find(name) {
        Some(field) if field.is_empty() || field.len() > 64 => Err(invalid("a field has no name")),
        found => Ok(found.unwrap_or_else(|| default.to_owned())),
    };
    let fields = Fields {
        to: field("sms_to_field", "to")?,
        from: field("sms_from_field", "from")?,
        text: field("sms_text_field", "text")?,
    };
    let from = sender(&url, "sms_from")?;
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !name.starts_with("sms_"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let unusable = |()| invalid("it cannot be asked");
    url.set_username("").map_err(unusable)?;
    url.set_password(None).map_err(unusable)?;
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Ok(Preset::Generic { target: target(url.as_str(), policy)?, auth, format, fields, from })
}

fn only_from(url: &Url) -> Result<(), SmsUrlInvalid> {
    known(url, |name| name == "from")
}

/// A parameter that nobody reads was meant for something.
fn known(url: &Url, is_known: impl Fn(&str) -> bool) -> Result<(), SmsUrlInvalid> {
    let Some((name, _)) = url.query_pairs().find(|(name, _)| !is_known(name)) else { return Ok(()) };
    // Anything else may be what is left of a password with a question mark.
    let is_name = (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte));
    Err(if is_name {
        SmsUrlInvalid(Cow::Owned(format!("it has a parameter `{name}`, which is unknown")))
    } else {
        invalid("it has a parameter that is unknown")
    })
}

/// The host of a preset, over https unless the URL says `+http`; whether that may be is asked of the policy by [`target`].
fn origin(url: &Url) -> Result<String, SmsUrlInvalid> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(invalid("it has no host"))?;
    if !matches!(url.path(), "" | "/") {
        return Err(invalid("it has a path"));
    }
    let scheme = if url.scheme().ends_with("+http") { "http" } else { "https" };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{scheme}://{host}{port}"))
}

fn target(url: &str, policy: &AddressPolicy) -> Result<Target, SmsUrlInvalid> {
    Target::parse(url, policy).map_err(|_| invalid("its host is none that may be asked"))
}

fn sender(url: &Url, name: &str) -> Result<Option<String>, SmsUrlInvalid> {
    let found = url.query_pairs().find(|(one, _)| one == name);
    // A `+` in a query is a space unless it is written as `%2B`; numbers begin with one.
    let Some(from) = found.map(|(_, value)| value.trim().to_owned()) else { return Ok(None) };
    let is_number = !from.is_empty() && from.bytes().all(|byte| byte.is_ascii_digit());
    let from = if is_number && url.query().is_some_and(|query| query.contains('+')) {
        format!("+{from}")
    } else {
        from
    };
    if from.is_empty() || from.chars().count() > 40 || from.chars().any(char::is_control) {
        return Err(invalid("its sender is none"));
    }
    Ok(Some(from))
}

/// User and password, without their percent signs.
fn credentials(url: &Url) -> Result<Option<(String, String)>, SmsUrlInvalid> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let read = |text: &str| percent::decoded(text).ok_or(invalid("its credentials cannot be read"));
    Ok(Some((read(url.username())?, read(url.password().unwrap_or_default())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Preset, SmsUrlInvalid> {
        parse(text, &AddressPolicy::public())
    }

    #[test]
    fn presets_know_where_to_ask() {
        for from in ["+15550100", "%2B15550100"] {
            let preset = read(&format!("twilio://AC1:t%3Aoken@api.twilio.com/?from={from}")).unwrap();
            let Preset::Twilio { target, sid, from, .. } = &preset else { panic!("{}", preset.name()) };
            assert_eq!(target.as_str(), "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json");
            assert_eq!((sid.as_str(), from.as_str()), ("AC1", "+15550100"));
        }
        let Preset::Vonage { target, from, .. } =
            read("vonage://k:s@rest.nexmo.com?from=Acme%20Inc").unwrap()
        else {
            panic!("vonage")
        };
        assert_eq!((target.as_str(), from.as_str()), ("https://rest.nexmo.com/sms/json", "Acme Inc"));
    }

    #[test]
    fn presets_go_in_the_clear_only_where_url_and_policy_say_so() {
        let (strict, lenient) = (AddressPolicy::public(), AddressPolicy::public().insecure_allow_http());
        let asked = |text: &str, policy| match parse(text, policy).unwrap() {
            Preset::Twilio { target, .. }
            | Preset::Vonage { target, .. }
            | Preset::Generic { target, .. } => {
                target.as_str().split("/").take(3).collect::<Vec<_>>().join("/")
            }
        };
        for policy in [&lenient, &strict] {
            assert_eq!(
                asked("twilio://AC1:t@sms.example.org:8080?from=A", policy),
                "https://sms.example.org:8080"
            );
            assert_eq!(
                asked("vonage://k:s@sms.example.org:8080?from=A", policy),
                "https://sms.example.org:8080"
            );
        }
        assert_eq!(
            asked("twilio+http://AC1:t@sms.example.org:8080?from=A", &lenient),
            "http://sms.example.org:8080"
        );
        assert_eq!(asked("vonage+http://k:s@sms.example.org?from=A", &lenient), "http://sms.example.org");
        for text in ["twilio+http://AC1:t@sms.example.org?from=A", "vonage+http://k:s@sms.example.org?from=A"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn others_are_asked_as_they_wish() {
        let text = "https://u:p@sms.example.org/v1/send?route=7&sms_from=Acme&sms_auth=x-api-key&sms_text_field=body";
        let Preset::Generic { target, auth, format, fields, from } = read(text).unwrap() else {
            panic!("generic")
        };
        assert_eq!(target.as_str(), "https://sms.example.org/v1/send?route=7");
        assert!(matches!(auth, Auth::Header { ref name, .. } if name == "x-api-key"));
        assert!(matches!(format, Format::Json));
        assert_eq!((fields.to.as_str(), fields.text.as_str(), from.as_deref()), ("to", "body", Some("Acme")));
        let Preset::Generic { target, auth, .. } = read("https://sms.example.org/send").unwrap() else {
            panic!("generic")
        };
        assert!(matches!(auth, Auth::None) && target.as_str() == "https://sms.example.org/send");
    }

    #[test]
    fn what_names_no_gateway_is_refused_without_repeating_it() {
        for text in [
            "",
            "canary",
            "smtp://canary:canary@example.org",
            "twilio://api.twilio.com?from=%2B1",
            "twilio://AC1:canary@api.twilio.com",
            "twilio://AC1:canary@api.twilio.com/canary?from=%2B1",
            "twilio://AC1%2F..:canary@api.twilio.com?from=%2B1",
            "twilio://AC1:canary@127.0.0.1?from=%2B1",
            "twilio://AC1:canary%@api.twilio.com?from=%2B1",
            "twilio://AC1:canary%0d%0a@api.twilio.com?from=%2B1",
            "twilio://AC1@api.twilio.com?from=%2B1",
            "twilio://AC1:@api.twilio.com?from=%2B1",
            "twilio://AC1:canary@api.twilio.com?from=%2B1&form=canary",
            "twilio://AC1:canary@api.twilio.com?from=%2B1&x=canary",
            "twilio://AC1:x@api.twilio.com?Canary7&canary7=&from=%2B1",
            "vonage://k:canary@rest.nexmo.com?from=",
            "vonage://canary@rest.nexmo.com?from=A",
            "vonage://:canary@rest.nexmo.com?from=A",
            "vonage://k:canary@rest.nexmo.com?from=A&sms_from=canary",
            "https://canary:canary@localhost/send",
            "http://canary:canary@sms.example.org/send",
            "https://canary:canary@sms.example.org/send?sms_format=xml",
            "https://canary:canary@sms.example.org/send?sms_auth=no%20header",
            "https://sms.example.org/canary?sms_auth=bearer",
            "https://sms.example.org/canary?sms_to_field=",
            "https://canary:canary@sms.example.org/send?sms_form=canary",
            "https://canary@sms.example.org/send?sms_auth=bearer",
            "https://canary@sms.example.org/send?sms_auth=x-api-key",
        ] {
            let error = read(text).map(|preset| preset.name()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_named() {
        for (text, name) in [
            ("twilio://AC1:canary@api.twilio.com?from=%2B1&form=canary", "`form`"),
            ("vonage://k:canary@rest.nexmo.com?sender=canary", "`sender`"),
            ("https://u:canary@sms.example.org/?route=7&sms_form_field=canary", "`sms_form_field`"),
        ] {
            let error = read(text).map(|preset| preset.name()).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("canary"), "{error}");
        }
    }
}
