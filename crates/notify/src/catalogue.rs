use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{MessageKind, NotifyError, template};

/// All kinds of messages of a program. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MessageCatalogue {
    kinds: Arc<BTreeMap<&'static str, Declared>>,
}

#[derive(Debug)]
struct Declared {
    kind: MessageKind,
    /// The kind's sample, an object.
    sample: Value,
}

/// How long the name of a kind may be.
const NAME_CHARS_MAX: usize = 64;

/// Names that every template has.
const RESERVED: [&str; 4] = ["recipient", "product", "link", "loop"];

impl MessageCatalogue {
    /// A catalogue of `kinds`. Every template is held against the [rules](crate#templates) and rendered with its kind's sample.
    ///
    /// # Errors
    /// [`NotifyError::KindInvalid`], which names the kind and what is wrong with it.
    pub fn new(kinds: impl IntoIterator<Item = MessageKind>) -> Result<Self, NotifyError> {
        let mut all = BTreeMap::new();
        for kind in kinds {
            let invalid = |problem: String| NotifyError::KindInvalid { kind: kind.name.to_owned(), problem };
            let sample = checked(&kind).map_err(invalid)?;
            template::check_own(&kind, &sample).map_err(|error| invalid(error.to_string()))?;
            if all.insert(kind.name, Declared { kind, sample }).is_some() {
                return Err(invalid("it is there twice".to_owned()));
            }
        }
        Ok(Self { kinds: Arc::new(all) })
    }

    pub(crate) fn of_one(kind: MessageKind, sample: Value) -> Self {
        Self { kinds: Arc::new(BTreeMap::from([(kind.name, Declared { kind, sample })])) }
    }

    /// The kind called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&MessageKind> {
        self.kinds.get(name).map(|declared| &declared.kind)
    }

    /// The kind called `name`, which must be there.
    ///
    /// # Errors
    /// [`NotifyError::KindUnknown`].
    pub fn kind(&self, name: &str) -> Result<&MessageKind, NotifyError> {
        self.declared(name).map(|declared| &declared.kind)
    }

    /// The sample values of the kind called `name`, an object.
    ///
    /// # Errors
    /// [`NotifyError::KindUnknown`].
    pub fn sample(&self, name: &str) -> Result<&Value, NotifyError> {
        self.declared(name).map(|declared| &declared.sample)
    }

    fn declared(&self, name: &str) -> Result<&Declared, NotifyError> {
        self.kinds.get(name).ok_or_else(|| NotifyError::KindUnknown { kind: name.to_owned() })
    }

    /// Every kind, by name.
    pub fn iter(&self) -> impl Iterator<Item = &MessageKind> {
        self.kinds.values().map(|declared| &declared.kind)
    }
}

/// What can be said without rendering; returns the sample.
fn checked(kind: &MessageKind) -> Result<Value, String> {
    let is_sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
    if !(1..=NAME_CHARS_MAX).contains(&kind.name.len()) || !kind.name.bytes().all(is_sound) {
        return Err(format!("a name has 1 to {NAME_CHARS_MAX} characters of a-z 0-9 . _"));
    }
    if kind.is_confidential && kind.media.in_app {
        return Err("it is confidential, so it is not kept in the product".to_owned());
    }
    if kind.budget.is_some_and(|budget| budget.most == 0 || budget.within.is_zero()) {
        return Err("its budget leaves nothing".to_owned());
    }
    if kind.templates.is_empty() {
        return Err("it has no template".to_owned());
    }
    for (at, template) in kind.templates.iter().enumerate() {
        if !template::locale::is_locale(template.locale) {
            return Err(format!("`{}` is no language tag", template.locale));
        }
        if kind.templates.iter().skip(at + 1).any(|other| other.locale.eq_ignore_ascii_case(template.locale))
        {
            return Err(format!("it has two templates in `{}`", template.locale));
        }
    }
    let sample: Value = serde_json::from_str(kind.sample).map_err(|_| "its sample is no JSON".to_owned())?;
    let names = sample.as_object().ok_or("its sample is no object")?;
    for name in names.keys() {
        let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name || RESERVED.contains(&name.as_str()) {
            return Err(format!("no value can be called `{name}`"));
        }
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Category, Media, Severity, TemplateText};

    const TEXT: TemplateText = TemplateText { locale: "en", subject: "s", text: "t {{ a }}", html: None };
    const KIND: MessageKind = MessageKind {
        templates: &[TEXT],
        sample: r#"{ "a": 1 }"#,
        ..MessageKind::new("one", Category::System, Severity::Info)
    };

    #[test]
    fn a_kind_is_found_by_its_name() {
        let other = MessageKind { name: "other.kind_2", ..KIND };
        let catalogue = MessageCatalogue::new([other, KIND]).unwrap();
        assert_eq!(catalogue.find("one"), Some(&KIND));
        assert_eq!(catalogue.find("two"), None);
        assert_eq!(catalogue.kind("two").unwrap_err().code(), "notify_kind_unknown");
        assert_eq!(catalogue.iter().map(|kind| kind.name).collect::<Vec<_>>(), ["one", "other.kind_2"]);
    }

    #[test]
    fn a_kind_that_cannot_be_sent_is_refused() {
        let refused = |kinds: &[MessageKind], words: &str| {
            let error = MessageCatalogue::new(kinds.iter().copied()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}: {words}");
        };
        refused(&[KIND, KIND], "twice");
        for name in ["", "One", "a b", "a-b", "a/b"] {
            refused(&[MessageKind { name, ..KIND }], "a name has");
        }
        refused(&[MessageKind { templates: &[], ..KIND }], "no template");
        refused(&[MessageKind { templates: &[TEXT, TEXT], ..KIND }], "two templates");
        refused(&[MessageKind { is_confidential: true, ..KIND }], "confidential");
        assert!(
            MessageCatalogue::new([MessageKind { is_confidential: true, media: Media::EMAIL, ..KIND }])
                .is_ok()
        );
        for (sample, words) in [
            ("{", "no JSON"),
            ("[]", "no object"),
            ("{}", "there is no value `a`"),
            (r#"{ "a": 1, "product": 1 }"#, "`product`"),
            (r#"{ "a": 1, "A": 1 }"#, "`A`"),
        ] {
            refused(&[MessageKind { sample, ..KIND }], words);
        }
        let with = |subject, text| MessageKind {
            templates: Box::leak(Box::new([TemplateText { subject, text, ..TEXT }])),
            ..KIND
        };
        refused(&[with("", "t")], "subject");
        refused(&[with("s", "{{ a")], "is not closed");
        refused(&[with("s", "{{ a.b.c }}")], "text, line 1");
        refused(&[with("s", "\n{{ a|time }}")], "text, line 2");
    }
}
