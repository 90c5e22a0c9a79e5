mod check;
mod environment;
mod links;
pub(crate) mod locale;
mod values;
mod visible;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use minijinja::{Environment, Value};
use serde_json::Value as Json;
use stylobate_core::TenantId;

use crate::{MessageCatalogue, MessageKind, NotifyError, TemplateText, plain};
pub use links::PublicUrl;

/// How long a subject may be, in characters.
const SUBJECT_CHARS_MAX: usize = 200;

/// How many templates of tenants are kept ready.
const OVERRIDES_MAX: usize = 256;

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Subject,
    Text,
    Html,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Text => "text",
            Self::Html => "html",
        }
    }
}

/// Who speaks in messages, and where its links lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// What it is called.
    pub name: String,
    /// Where people reach it.
    pub url: PublicUrl,
}

/// A template that a tenant puts in the place of the kind's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateOverride {
    /// The language it is in (BCP 47).
    pub locale: String,
    /// One line.
    pub subject: String,
    /// What everybody can read.
    pub text: String,
    /// The same with formats, for mail.
    pub html: Option<String>,
}

/// Which override it is: what is kept ready is kept by this.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OverrideKey {
    /// Whose it is; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// The kind it is for.
    pub kind: String,
    /// Its locale.
    pub locale: String,
    /// Changes with its text.
    pub version: i64,
}

/// What is to be rendered.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The kind of message.
    pub kind: &'a str,
    /// What the recipient reads best.
    pub locale: Option<&'a str>,
    /// What the recipient is called; may be empty.
    pub recipient_name: &'a str,
    /// The message's values.
    pub values: &'a Json,
}

/// A message as its recipient reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The language it is in.
    pub locale: String,
    /// One line of at most 200 characters.
    pub subject: String,
    /// The text, with `\n` between lines and at its end.
    pub text: String,
    /// The same with formats; none where its template shows nothing.
    pub html: Option<String>,
}

impl Rendered {
    /// The part that everybody needs and in which nothing can be seen.
    #[cfg(feature = "sql")]
    pub(crate) fn blank_part(&self) -> Option<&'static str> {
        // A subject that was cut ends with an ellipsis, whatever is before it.
        let subject = (Part::Subject, self.subject.trim_end_matches('…'));
        let blank = [subject, (Part::Text, &self.text)].into_iter().find(|(_, said)| !visible::in_text(said));
        blank.map(|(part, _)| part.name())
    }
}

impl std::fmt::Debug for Rendered {
    /// It may hold codes and single-use links.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered").field("locale", &self.locale).finish_non_exhaustive()
    }
}

/// Makes messages of kinds and values.
pub struct Renderer {
    catalogue: MessageCatalogue,
    product: Product,
    /// `product`, as templates see it.
    seen_product: Value,
    own: Environment<'static>,
    overrides: Mutex<Overrides>,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer").field("product", &self.product).finish_non_exhaustive()
    }
}

impl Renderer {
    /// One for the kinds of `catalogue`.
    #[must_use]
    pub fn new(catalogue: MessageCatalogue, product: Product) -> Self {
        let mut own = environment::environment(product.url.clone());
        for kind in catalogue.iter() {
            for template in kind.templates {
                // The catalogue has rendered them all, so none is refused here.
                let _ = add(&mut own, kind.name, template);
            }
        }
        let seen_product = Value::from(BTreeMap::from([
            ("name", Value::from(plain::one_line(&product.name))),
            ("url", Value::from(product.url.as_str())),
        ]));
        Self { catalogue, product, seen_product, own, overrides: Mutex::default() }
    }

    /// The kinds it knows.
    #[must_use]
    pub fn catalogue(&self) -> &MessageCatalogue {
        &self.catalogue
    }

    /// Who speaks.
    #[must_use]
    pub fn product(&self) -> &Product {
        &self.product
    }

    /// Renders a message with the kind's own template in the recipient's locale, or in the first there is.
    ///
    /// # Errors
    /// [`NotifyError::KindUnknown`], [`NotifyError::ValueMissing`] and [`NotifyError::ValuesInvalid`] when the message is not one of
    /// the kind; [`NotifyError::RenderFailed`] when the template cannot be rendered with it.
    pub fn render(&self, draft: &Draft<'_>) -> Result<Rendered, NotifyError> {
        let kind = self.catalogue.kind(draft.kind)?;
        let there = kind.templates.iter().map(|template| template.locale);
        let locale = locale::best(draft.locale, there).unwrap_or_default();
        self.render_with(&self.own, kind, locale, draft)
    }

    /// Renders a message with a template that passed [`check`](Self::check). The template is read once for each `key`.
    ///
    /// # Errors
    /// As of [`render`](Self::render), and [`NotifyError::TemplateInvalid`] when the template cannot be read.
    pub fn render_override(
        &self,
        key: &OverrideKey,
        template: &TemplateOverride,
        draft: &Draft<'_>,
    ) -> Result<Rendered, NotifyError> {
        if let Some(rendered) = self.render_kept(key, draft) {
            return rendered;
        }
        let kind = self.catalogue.kind(draft.kind)?;
        let read = Arc::new(self.read(kind, template)?);
        self.overrides().keep(key.clone(), Arc::clone(&read));
        self.render_with(&read, kind, &template.locale, draft)
    }

    /// Renders a message with the template of `key`, if that was read before.
    pub(crate) fn render_kept(
        &self,
        key: &OverrideKey,
        draft: &Draft<'_>,
    ) -> Option<Result<Rendered, NotifyError>> {
        let environment = self.overrides().find(key)?;
        let kind = self.catalogue.kind(draft.kind);
        Some(kind.and_then(|kind| self.render_with(&environment, kind, &key.locale, draft)))
    }

    fn overrides(&self) -> MutexGuard<'_, Overrides> {
        self.overrides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a template of a tenant against the [rules](crate#templates) and renders it with the kind's sample.
    ///
    /// # Errors
    /// [`NotifyError::KindUnknown`]; [`NotifyError::TemplateInvalid`] with part and line.
    pub fn check(&self, kind: &str, template: &TemplateOverride) -> Result<(), NotifyError> {
        self.preview(kind, template).map(drop)
    }

    /// What a template of a tenant makes of the kind's sample.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    pub fn preview(&self, kind: &str, template: &TemplateOverride) -> Result<Rendered, NotifyError> {
        let declared = self.catalogue.kind(kind)?;
        if !locale::is_locale(&template.locale) {
            return Err(NotifyError::SettingInvalid { setting: "locale", problem: "is no language tag" });
        }
        let sample = self.catalogue.sample(kind)?;
        check_parts(&parts(template), sample)?;
        let environment = self.read(declared, template)?;
        let draft = Draft { kind, locale: None, recipient_name: SAMPLE_NAME, values: sample };
        self.render_with(&environment, declared, &template.locale, &draft).map_err(as_invalid)
    }

    fn read(
        &self,
        kind: &MessageKind,
        template: &TemplateOverride,
    ) -> Result<Environment<'static>, NotifyError> {
        let mut environment = environment::environment(self.product.url.clone());
        add_parts(&mut environment, kind.name, &template.locale, parts(template))?;
        Ok(environment)
    }

    fn render_with(
        &self,
        environment: &Environment<'_>,
        kind: &MessageKind,
        locale: &str,
        draft: &Draft<'_>,
    ) -> Result<Rendered, NotifyError> {
        let values = self.values(kind, draft)?;
        let render = |part: Part| {
            let rendered = environment::render(environment, &name(kind.name, locale, part), &values);
            let checked = rendered.and_then(|rendered| {
                check::output(part, &rendered, self.product.url.as_str())?;
                Ok(rendered)
            });
            checked.map_err(|fault| {
                let environment::Fault { line, problem } = fault;
                NotifyError::RenderFailed { kind: kind.name.to_owned(), part: part.name(), line, problem }
            })
        };
        let has_html = environment.get_template(&name(kind.name, locale, Part::Html)).is_ok();
        let html = if has_html { Some(render(Part::Html)?) } else { None };
        Ok(Rendered {
            locale: locale.to_owned(),
            subject: plain::at_most(plain::one_line(&render(Part::Subject)?).trim(), SUBJECT_CHARS_MAX),
            text: tidy(&render(Part::Text)?),
            // Mail programs show it instead of the text, a blank one too.
            html: html.filter(|html| visible::in_html(html)),
        })
    }

    /// What templates see: the values that the sample has, and no other.
    fn values(&self, kind: &MessageKind, draft: &Draft<'_>) -> Result<Value, NotifyError> {
        let invalid = |problem| NotifyError::ValuesInvalid { kind: kind.name.to_owned(), problem };
        let given = draft.values.as_object().ok_or_else(|| invalid("are no object"))?;
        let sample = self.catalogue.sample(kind.name)?;
        let mut seen = serde_json::Map::new();
        for variable in sample.as_object().into_iter().flat_map(|sample| sample.keys()) {
            let value = given.get(variable).ok_or_else(|| NotifyError::ValueMissing {
                kind: kind.name.to_owned(),
                variable: variable.clone(),
            })?;
            seen.insert(variable.clone(), value.clone());
        }
        seen.insert("recipient".to_owned(), serde_json::json!({ "name": draft.recipient_name }));
        let seen = values::seen(&Json::Object(seen), sample).map_err(invalid)?;
        // Handed in as it is: its address is the one that may stand in a text.
        Ok(minijinja::context! { product => self.seen_product.clone(), ..seen })
    }
}

/// What the recipient is called when a sample is rendered.
const SAMPLE_NAME: &str = "Ada Lovelace";

type Parts<'a> = [(Part, Option<&'a str>); 3];

fn parts(template: &TemplateOverride) -> Parts<'_> {
    [
        (Part::Subject, Some(&template.subject)),
        (Part::Text, Some(&template.text)),
        (Part::Html, template.html.as_deref()),
    ]
}

fn own_parts(template: &TemplateText) -> Parts<'static> {
    [(Part::Subject, Some(template.subject)), (Part::Text, Some(template.text)), (Part::Html, template.html)]
}

fn name(kind: &str, locale: &str, part: Part) -> String {
    format!("{kind}/{locale}/{}", part.name())
}

fn add(
    environment: &mut Environment<'static>,
    kind: &str,
    template: &TemplateText,
) -> Result<(), NotifyError> {
    add_parts(environment, kind, template.locale, own_parts(template))
}

fn add_parts(
    environment: &mut Environment<'static>,
    kind: &str,
    locale: &str,
    parts: Parts<'_>,
) -> Result<(), NotifyError> {
    for (part, source) in parts {
        let Some(source) = source else { continue };
        environment
            .add_template_owned(name(kind, locale, part), source.replace("\r\n", "\n"))
            .map_err(|error| invalid(part, environment::Fault::of_reading(&error)))?;
    }
    Ok(())
}

fn invalid(part: Part, fault: environment::Fault) -> NotifyError {
    NotifyError::TemplateInvalid { part: part.name(), line: fault.line, problem: fault.problem }
}

/// A template that cannot be rendered with the sample is wrong itself.
fn as_invalid(error: NotifyError) -> NotifyError {
    match error {
        NotifyError::RenderFailed { part, line, problem, .. } => {
            NotifyError::TemplateInvalid { part, line, problem }
        }
        other => other,
    }
}

/// The rules, and that nothing is used but what `sample` has.
fn check_parts(parts: &Parts<'_>, sample: &Json) -> Result<(), NotifyError> {
    for (part, source) in *parts {
        let Some(source) = source else { continue };
        check::source(part, source).map_err(|fault| invalid(part, fault))?;
        let environment = Environment::empty();
        let template = environment
            .template_from_str(source)
            .map_err(|error| invalid(part, environment::Fault::of_reading(&error)))?;
        // In order, so that the same one is named each time.
        let used = template.undeclared_variables(true).into_iter().collect::<std::collections::BTreeSet<_>>();
        for variable in used {
            let known = match variable.split_once('.') {
                Some(("recipient", field)) => field == "name",
                Some(("product", field)) => ["name", "url"].contains(&field),
                Some((first, _)) => sample.get(first).is_some(),
                None => variable == "link" || variable == "loop" || sample.get(&variable).is_some(),
            };
            if !known {
                let problem = format!("there is no value `{variable}`");
                return Err(invalid(part, environment::Fault { line: 1, problem }));
            }
        }
    }
    Ok(())
}

/// Holds the own templates of a kind against the rules, and renders them with its sample.
pub(crate) fn check_own(kind: &MessageKind, sample: &Json) -> Result<(), NotifyError> {
    kind.templates.iter().try_for_each(|template| check_parts(&own_parts(template), sample))?;
    let url = PublicUrl::parse("https://product.example")?;
    let catalogue = MessageCatalogue::of_one(*kind, sample.clone());
    let renderer = Renderer::new(catalogue, Product { name: "Product".to_owned(), url });
    for template in kind.templates {
        let draft = Draft {
            kind: kind.name,
            locale: Some(template.locale),
            recipient_name: SAMPLE_NAME,
            values: sample,
        };
        let rendered = renderer.render(&draft).map_err(as_invalid)?;
        if rendered.subject.is_empty() {
            let problem = "it is empty".to_owned();
            return Err(NotifyError::TemplateInvalid { part: "subject", line: 1, problem });
        }
    }
    Ok(())
}

/// Lines without spaces at their ends, at most one empty line between others, and one end of line at the end.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len() + 1);
    for line in text.trim().lines() {
        let line = line.trim_end();
        if !(line.is_empty() && tidy.ends_with("\n\n")) {
            tidy.extend(line.chars().filter(|c| !plain::is_unseen(*c)));
            tidy.push('\n');
        }
    }
    tidy
}

/// The templates of tenants that were read last.
#[derive(Default)]
struct Overrides {
    kept: HashMap<OverrideKey, Arc<Environment<'static>>>,
    /// Oldest first.
    order: VecDeque<OverrideKey>,
}

impl Overrides {
    fn find(&self, key: &OverrideKey) -> Option<Arc<Environment<'static>>> {
        self.kept.get(key).map(Arc::clone)
    }

    fn keep(&mut self, key: OverrideKey, environment: Arc<Environment<'static>>) {
        if self.kept.insert(key.clone(), environment).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > OVERRIDES_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.kept.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests;
