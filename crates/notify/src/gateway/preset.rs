use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use stylobate_egress::{
    Answer, Request, Target,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};

use super::encoding;
use crate::{FailureClass, PhoneNumber, Receipt, SendError, failure::failed, post};

/// How a gateway is asked, and how its answers read.
#[derive(Clone)]
pub(super) enum Preset {
    Twilio { target: Target, sid: String, token: SecretString, from: String },
    Vonage { target: Target, key: String, secret: SecretString, from: String },
    Generic { target: Target, auth: Auth, format: Format, fields: Fields, from: Option<String> },
}

#[derive(Clone)]
pub(super) enum Auth {
    None,
    Basic { user: String, password: SecretString },
    Bearer(SecretString),
    Header { name: HeaderName, value: SecretString },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    Json,
    Form,
}

/// What the fields are called.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) to: String,
    pub(super) from: String,
    pub(super) text: String,
}

impl Preset {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Twilio { .. } => "twilio",
            Self::Vonage { .. } => "vonage",
            Self::Generic { .. } => "generic",
        }
    }

    pub(super) fn request(&self, to: &PhoneNumber, text: &str) -> Result<Request, SendError> {
        match self {
            Self::Twilio { target, sid, token, from } => {
                let sender = if from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
                let body = form(&[("To", to.as_str()), (sender, from), ("Body", text)]);
                request(
                    target,
                    Format::Form,
                    body,
                    &Auth::Basic { user: sid.clone(), password: token.clone() },
                )
            }
            Self::Vonage { target, key, secret, from } => {
                let kind = if encoding::is_gsm(text) { "text" } else { "unicode" };
                let body = form(&[
                    ("api_key", key),
                    ("api_secret", secret.expose_secret()),
                    ("to", to.digits()),
                    ("from", from),
                    ("text", text),
                    ("type", kind),
                ]);
                request(target, Format::Form, body, &Auth::None)
            }
            Self::Generic { target, auth, format, fields, from } => {
                let mut values = vec![(fields.to.as_str(), to.as_str()), (fields.text.as_str(), text)];
                values.extend(from.as_deref().map(|from| (fields.from.as_str(), from)));
                let body = match format {
                    Format::Form => form(&values),
                    Format::Json => {
                        let object =
                            values.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
                        Value::Object(object.collect()).to_string()
                    }
                };
                request(target, *format, body, auth)
            }
        }
    }

    /// What an answer says, where the status is not all of it.
    pub(super) fn judged(&self, answer: Answer, now: DateTime<Utc>) -> Result<Receipt, SendError> {
        let is_bad_number = matches!(self, Self::Twilio { .. }) && answer.status.is_client_error() && {
            let code = json(&answer).and_then(|body| body.get("code").and_then(Value::as_u64));
            code.is_some_and(|code| TWILIO_BAD_NUMBER.contains(&code))
        };
        match (self, post::judged(answer, now)) {
            (Self::Vonage { .. }, Ok(answer)) => vonage(&answer),
            (_, Ok(answer)) => Ok(Receipt { status: Some(answer.status.as_u16()) }),
            (_, Err(failure)) if is_bad_number => {
                Err(SendError { class: FailureClass::BadRecipient, code: "notify_bad_recipient", ..failure })
            }
            // Wrong credentials are nobody's number: nothing can be sent until somebody mends them.
            (_, Err(failure)) if failure.code == "notify_unauthorized" => {
                Err(SendError { class: FailureClass::Outage, ..failure })
            }
            (_, Err(failure)) => Err(failure),
        }
    }
}

/// What Twilio says of the number alone (its dictionary of errors): it is none, cannot be reached, has opted out, is no mobile phone's,
/// or is a landline's. All else may be the fault of the sender, the account or the text: 21612 is of sender and number together, 21408
/// of the country, 21608 of an account on trial.
const TWILIO_BAD_NUMBER: [u64; 6] = [21_211, 21_214, 21_217, 21_610, 21_614, 21_635];

fn json(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(&answer.body).ok()
}

/// Vonage answers 200 whatever comes of it, with a status in the body.
fn vonage(answer: &Answer) -> Result<Receipt, SendError> {
    let status = Some(answer.status.as_u16());
    let body = json(answer);
    let said = body.as_ref().and_then(|body| body.pointer("/messages/0/status")).and_then(Value::as_str);
    let (class, code) = match said {
        Some("0") => return Ok(Receipt { status }),
        Some("1") => (FailureClass::TRANSIENT, "notify_throttled"),
        Some("5") => (FailureClass::TRANSIENT, "notify_status"),
        Some("4" | "8" | "9" | "14") => (FailureClass::Outage, "notify_unauthorized"),
        Some("6" | "7") => (FailureClass::BadRecipient, "notify_bad_recipient"),
        Some(_) => (FailureClass::Permanent, "notify_status"),
        // Nobody knows whether it was taken: twice is better than never.
        None => (FailureClass::TRANSIENT, "notify_answer_broken"),
    };
    Err(SendError { status, ..failed(class, code) })
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn request(target: &Target, format: Format, body: String, auth: &Auth) -> Result<Request, SendError> {
    let mut request = Request::post(target.clone(), body);
    let kind = match format {
        Format::Json => "application/json",
        Format::Form => "application/x-www-form-urlencoded",
    };
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    authorise(&mut request.headers, auth).ok_or(failed(FailureClass::Outage, "notify_unsendable"))?;
    Ok(request)
}

fn authorise(headers: &mut HeaderMap, auth: &Auth) -> Option<()> {
    let (name, text) = match auth {
        Auth::None => return Some(()),
        Auth::Basic { user, password } => {
            let pair = format!("{user}:{}", password.expose_secret());
            (header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
        }
        Auth::Bearer(token) => (header::AUTHORIZATION, format!("Bearer {}", token.expose_secret())),
        Auth::Header { name, value } => (name.clone(), value.expose_secret().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Some(())
}

#[cfg(test)]
mod tests {
    use stylobate_egress::{AddressPolicy, Ending, http::StatusCode};

    use super::*;

    fn preset(url: &str) -> Preset {
        super::super::url::parse(url, &AddressPolicy::public()).unwrap()
    }

    fn asked(url: &str, text: &str) -> (Option<String>, String) {
        let request = preset(url).request(&"+436601234567".parse().unwrap(), text).unwrap();
        let auth = request.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        (auth, String::from_utf8(request.body.to_vec()).unwrap())
    }

    #[test]
    fn each_is_asked_in_its_own_way() {
        let (auth, body) = asked("twilio://AC1:token@api.twilio.com?from=%2B15550100", "code & 1=2\nä");
        assert_eq!(auth.unwrap(), format!("Basic {}", STANDARD.encode("AC1:token")));
        assert_eq!(body, "To=%2B436601234567&From=%2B15550100&Body=code+%26+1%3D2%0A%C3%A4");
        let (_, body) = asked("twilio://AC1:token@api.twilio.com?from=MG7", "x");
        assert!(body.contains("MessagingServiceSid=MG7"), "{body}");
        let (auth, body) = asked("vonage://key:secret@rest.nexmo.com?from=Acme", "ő");
        let expected = "api_key=key&api_secret=secret&to=436601234567&from=Acme&text=%C5%91&type=unicode";
        assert_eq!((auth, body.as_str()), (None, expected));
        let (_, body) = asked("vonage://key:secret@rest.nexmo.com?from=Acme", "ä");
        assert!(body.ends_with("&type=text"), "{body}");
        let (auth, body) = asked("https://:tok%20en@sms.example.org/?sms_auth=bearer&sms_from=A", "a\"b");
        let expected = serde_json::json!({ "to": "+436601234567", "text": "a\"b", "from": "A" });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
        assert_eq!(auth.unwrap(), "Bearer tok en");
        let (auth, body) = asked("https://u:p@sms.example.org/?sms_format=form&sms_to_field=msisdn", "x");
        assert_eq!(body, "msisdn=%2B436601234567&text=x");
        assert_eq!(auth.unwrap(), format!("Basic {}", STANDARD.encode("u:p")));
    }

    fn judged(url: &str, status: StatusCode, body: &str) -> Result<Receipt, SendError> {
        let headers = HeaderMap::new();
        let answer = Answer { status, headers, body: body.to_owned().into(), ending: Ending::Whole };
        preset(url).judged(answer, DateTime::UNIX_EPOCH)
    }

    fn said(body: &str) -> Result<(), FailureClass> {
        judged("vonage://key:secret@rest.nexmo.com?from=Acme", StatusCode::OK, body)
            .map(drop)
            .map_err(|failure| failure.class)
    }

    #[test]
    fn an_answer_of_200_is_read_where_that_says_nothing() {
        let status = |status: &str| said(&format!(r#"{{"messages":[{{"status":"{status}"}}]}}"#));
        let later = Err(FailureClass::TRANSIENT);
        assert_eq!((status("0"), status("1"), status("5")), (Ok(()), later, later));
        assert_eq!(status("4"), Err(FailureClass::Outage));
        assert_eq!(status("7"), Err(FailureClass::BadRecipient));
        assert_eq!(status("99"), Err(FailureClass::Permanent));
        for broken in ["", "[]", "{}", r#"{"messages":[]}"#, r#"{"messages":[{"status":0}]}"#] {
            assert_eq!(said(broken), later, "{broken}");
        }
    }

    #[test]
    fn wrong_credentials_are_an_outage_and_a_wrong_number_is_not() {
        let class = |status: StatusCode, body: &str| {
            judged("twilio://AC1:token@api.twilio.com?from=%2B1", status, body).unwrap_err().class
        };
        let coded = |code: u64| class(StatusCode::BAD_REQUEST, &format!(r#"{{"code":{code},"status":400}}"#));
        assert_eq!(class(StatusCode::UNAUTHORIZED, r#"{"code":20003}"#), FailureClass::Outage);
        for code in [21_211, 21_610, 21_614, 21_635] {
            assert_eq!(coded(code), FailureClass::BadRecipient, "{code}");
        }
        // A sender that is none, a country that is closed, an account on trial, a text that is too long.
        for code in [21_212, 21_408, 21_608, 21_612, 21_617, 20_001] {
            assert_eq!(coded(code), FailureClass::Permanent, "{code}");
        }
        for broken in ["", "{}", "[21211]", r#"{"code":"21211"}"#] {
            assert_eq!(class(StatusCode::BAD_REQUEST, broken), FailureClass::Permanent, "{broken}");
        }
        assert_eq!(class(StatusCode::NOT_FOUND, ""), FailureClass::Permanent);
        assert_eq!(class(StatusCode::SERVICE_UNAVAILABLE, r#"{"code":21211}"#), FailureClass::TRANSIENT);
    }
}
