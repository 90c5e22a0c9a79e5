use std::collections::BTreeSet;

use serde_json::Value;

/// What stands in the place of a redacted value.
const MASK: &str = "***";

/// Names that are sensitive at the end of any longer name: `password` also covers `new_password` and `newPassword`.
///
/// The first nine are the redaction list of the systems this one replaces. Their bare `key` is left out because
/// permissions and settings are named by a field of that name; real keys come with a word in front, as below.
const SENSITIVE: &[&str] = &[
    "access_token",
    "api_key",
    "authorization",
    "cookie",
    "password",
    "password_hash",
    "refresh_token",
    "secret",
    "token",
    "access_key",
    "assertion",
    "backup_code",
    "backup_codes",
    "bootstrap_secret",
    "client_secret",
    "cookies",
    "credential_hash",
    "csrf",
    "encryption_key",
    "mfa_code",
    "otp",
    "passphrase",
    "passwd",
    "pepper",
    "pin_code",
    "private_key",
    "pwd",
    "recovery_code",
    "recovery_codes",
    "secret_hash",
    "secret_key",
    "secrets",
    "set_cookie",
    "signature",
    "signing_key",
    "sms_code",
    "token_hash",
    "tokens",
    "totp_code",
    "totp_secret",
    "verification_code",
];

/// Names that are sensitive alone and harmless behind another word: `code` is a one-time code, `org_code` is not.
const SENSITIVE_ALONE: &[&str] = &["code", "codes", "pin"];

/// Knows which fields are sensitive by their names, and replaces their values by `***`.
///
/// A field is sensitive when its name, cut into words at `_`, `-`, `.`, blanks and capitals and lower-cased, ends
/// with a listed name. Null and booleans stay: they tell that a secret was set or removed, never which.
#[derive(Debug, Clone)]
pub struct Redaction {
    suffixes: BTreeSet<String>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self { suffixes: SENSITIVE.iter().map(|name| (*name).to_owned()).collect() }
    }
}

impl Redaction {
    /// The built-in list and `names` beside it. Names cannot be taken off the list.
    #[must_use]
    pub fn with<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.suffixes
            .extend(names.into_iter().map(|name| words(name).join("_")).filter(|name| !name.is_empty()));
        self
    }

    /// Whether values under `name` are hidden.
    #[must_use]
    pub fn is_sensitive(&self, name: &str) -> bool {
        let words = words(name);
        if let [only] = words.as_slice()
            && SENSITIVE_ALONE.contains(&only.as_str())
        {
            return true;
        }
        (0..words.len()).any(|from| self.suffixes.contains(&words.iter().skip(from).fold_words()))
            // `apikey`, `accesstoken`: lower case without any mark between the words.
            || words.last().is_some_and(|last| self.suffixes.iter().any(|listed| listed.replace('_', "") == *last))
    }

    /// The path of a field inside `value` that would be hidden, names joined by dots; `None` when there is none. For those who
    /// refuse what others hide.
    #[must_use]
    pub fn find(&self, value: &Value) -> Option<String> {
        match value {
            Value::Object(fields) => fields.iter().find_map(|(name, field)| {
                if self.is_sensitive(name) && !matches!(field, Value::Null | Value::Bool(_)) {
                    return Some(name.clone());
                }
                self.find(field).map(|inner| format!("{name}.{inner}"))
            }),
            Value::Array(items) => items.iter().find_map(|item| self.find(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    /// Hides every sensitive field inside `value`, however deep.
    pub fn apply(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    self.apply_named(name, field);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Hides `value` when `name` is sensitive, and otherwise what is sensitive inside it.
    pub fn apply_named(&self, name: &str, value: &mut Value) {
        if !self.is_sensitive(name) {
            self.apply(value);
        } else if !matches!(value, Value::Null | Value::Bool(_)) {
            *value = Value::from(MASK);
        }
    }
}

trait FoldWords {
    fn fold_words(self) -> String;
}

impl<'a, I: Iterator<Item = &'a String>> FoldWords for I {
    fn fold_words(self) -> String {
        self.map(String::as_str).collect::<Vec<_>>().join("_")
    }
}

/// The lower-cased words of a name in snake, kebab, dotted, camel or spaced spelling.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut previous_is_lower = false;
    for character in name.chars() {
        let ends_word = !character.is_alphanumeric() || (character.is_uppercase() && previous_is_lower);
        if ends_word && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
        previous_is_lower = character.is_lowercase() || character.is_numeric();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sensitive_names_are_found_in_every_spelling() {
        let redaction = Redaction::default();
        for name in [
            "password",
            "Password",
            "PASSWORD",
            "new_password",
            "newPassword",
            "old-password",
            "smtp.password",
            "password_hash",
            "passwordHash",
            "api_key",
            "apiKey",
            "API-Key",
            "X-Api-Key",
            "apikey",
            "token",
            "access_token",
            "accessToken",
            "refresh_token",
            "client_secret",
            "totp_secret",
            "code",
            "Code",
            "recovery_codes",
            "Authorization",
            "Cookie",
            "Set-Cookie",
            "private_key",
            "JWT_PRIVATE_KEY",
            "otp",
        ] {
            assert!(redaction.is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn harmless_names_stay_visible() {
        let redaction = Redaction::default();
        for name in [
            "",
            "key",
            "keys",
            "name",
            "org_code",
            "status_code",
            "token_type",
            "password_updated_at",
            "codec",
            "secretary",
            "author",
            "description",
            "permission_key",
        ] {
            assert!(!redaction.is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn further_names_add_to_the_list() {
        let redaction = Redaction::default().with(["nationalId", ""]);
        assert!(redaction.is_sensitive("national_id") && redaction.is_sensitive("password"));
        assert!(!redaction.is_sensitive("name"));
    }

    #[test]
    fn what_would_be_hidden_is_found_and_named() {
        let redaction = Redaction::default();
        assert_eq!(
            redaction.find(&json!({ "name": "ada", "must_change_password": true, "token": null })),
            None
        );
        let deep = json!({ "a": [{ "b": 1 }, { "c": { "newPassword": "canary" } }] });
        assert_eq!(redaction.find(&deep).as_deref(), Some("a.c.newPassword"));
    }

    // A23, C40
    #[test]
    fn nothing_sensitive_is_left_at_any_depth() {
        let mut value = json!({
            "name": "ada",
            "password": "canary-1",
            "profile": { "tokens": ["canary-2"], "devices": [{ "totpSecret": { "inner": "canary-3" } }, { "code": 123_456 }] },
            "deep": [[[{ "Authorization": "Bearer canary-4" }]]],
            "must_change_password": true,
            "secret": null,
        });
        Redaction::default().apply(&mut value);
        let text = value.to_string();
        assert!(!text.contains("canary") && !text.contains("123456"), "{text}");
        assert_eq!(
            (&value["name"], &value["must_change_password"], &value["secret"]),
            (&json!("ada"), &json!(true), &json!(null))
        );
        assert_eq!(value["profile"]["devices"][1]["code"], "***");
    }
}
