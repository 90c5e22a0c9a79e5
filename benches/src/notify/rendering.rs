//! What a message costs to render, beside the template engine alone with the same templates and values.

use std::time::Instant;

use minijinja::{AutoEscape, Environment, Error as TemplateError, ErrorKind, value::Serde};
use serde_json::Value;
use stylobate::{
    core::TenantId,
    default_message_kinds,
    notify::{
        Draft, MessageCatalogue, MessageKind, OverrideKey, Product, PublicUrl, Renderer, TemplateOverride,
        TemplateText,
    },
};
use uuid::Uuid;

use crate::{
    Error, Result,
    report::{Goal, Report},
    rounds::{self, Rounds, Sample, cpu_time, percentile, sorted},
};

/// The promise, for the slowest of a hundred messages.
const MOST_US: f64 = 100.0;
/// How many messages a round is.
const MESSAGES: usize = 20_000;
const RECIPIENT: &str = "Ada Lovelace";
const PRODUCT: &str = "Stylobate";
const URL: &str = "https://console.example.org";

pub(super) fn measure(report: &mut Report) -> Result {
    let kinds = default_message_kinds();
    let catalogue = MessageCatalogue::new(kinds.clone())?;
    let product = Product { name: PRODUCT.to_owned(), url: PublicUrl::parse(URL)? };
    let renderer = Renderer::new(catalogue.clone(), product);
    for kind in &kinds {
        for template in kind.templates {
            let values = catalogue.sample(kind.name)?;
            let draft =
                Draft { kind: kind.name, locale: Some(template.locale), recipient_name: RECIPIENT, values };
            let bare = Bare::new(template)?;
            let what = format!("{} in {}", kind.name, template.locale);
            compare(
                report,
                &what,
                || renderer.render(&draft).map(drop).map_err(Error::from),
                || bare.render(values),
            )?;
        }
    }
    of_tenant(report, &renderer, &kinds)
}

/// The same in the words of a tenant, which are kept ready once they were read.
fn of_tenant(report: &mut Report, renderer: &Renderer, kinds: &[MessageKind]) -> Result {
    let kind = kinds.iter().find(|kind| kind.templates.iter().any(|template| template.html.is_some()));
    let kind = kind.ok_or("a kind with HTML")?;
    let template = kind.templates.first().ok_or("a template")?;
    let words = TemplateOverride {
        locale: template.locale.to_owned(),
        subject: template.subject.to_owned(),
        text: template.text.to_owned(),
        html: template.html.map(str::to_owned),
    };
    renderer.check(kind.name, &words)?;
    let key = OverrideKey {
        tenant: Some(TenantId::from_uuid(Uuid::from_u128(1))),
        kind: kind.name.to_owned(),
        locale: words.locale.clone(),
        version: 1,
    };
    let values = renderer.catalogue().sample(kind.name)?;
    let draft = Draft { kind: kind.name, locale: None, recipient_name: RECIPIENT, values };
    let asked = Instant::now();
    renderer.render_override(&key, &words, &draft)?;
    report.note(&format!("the first message of a tenant's template: {:.0} us", micros(asked)));
    let bare = Bare::new(template)?;
    let what = format!("{} of a tenant", kind.name);
    let ours = || renderer.render_override(&key, &words, &draft).map(drop).map_err(Error::from);
    compare(report, &what, ours, || bare.render(values))
}

fn compare(
    report: &mut Report,
    what: &str,
    mut ours: impl FnMut() -> Result,
    mut bare: impl FnMut() -> Result,
) -> Result {
    let rounds = Rounds::measure(rounds::count(5), || sample(&mut ours), || sample(&mut bare))?;
    rounds.report(report, what, "minijinja alone", None);
    report.verdict(&format!("rendering {what}, p99"), rounds.our_p99_us(), "us", Goal::AtMost(MOST_US));
    Ok(())
}

/// Renders again and again, each time by itself.
fn sample(render: &mut impl FnMut() -> Result) -> Result<Sample> {
    let mut times = Vec::with_capacity(MESSAGES);
    let (begun, cpu) = (Instant::now(), cpu_time());
    for _ in 0..MESSAGES {
        let asked = Instant::now();
        render()?;
        times.push(micros(asked));
    }
    let sample = Sample::since(begun, cpu, MESSAGES);
    let times = sorted(times.into_iter());
    Ok(Sample { p50_us: Some(percentile(&times, 0.5)), p99_us: Some(percentile(&times, 0.99)), ..sample })
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// The engine with the templates of one message and nothing of ours: no fuel, no limits, no checks of values and of what came out.
struct Bare {
    environment: Environment<'static>,
    has_html: bool,
}

impl Bare {
    fn new(template: &TemplateText) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|name| {
            if name == "html" { AutoEscape::Html } else { AutoEscape::None }
        });
        environment.add_filter("time", time);
        environment.add_template("subject", template.subject)?;
        environment.add_template("text", template.text)?;
        if let Some(html) = template.html {
            environment.add_template("html", html)?;
        }
        Ok(Self { environment, has_html: template.html.is_some() })
    }

    fn render(&self, values: &Value) -> Result {
        let seen = minijinja::context! {
            recipient => minijinja::context! { name => RECIPIENT },
            product => minijinja::context! { name => PRODUCT, url => URL },
            ..Serde(values)
        };
        let parts = ["subject", "text", "html"];
        for part in parts.into_iter().take(if self.has_html { 3 } else { 2 }) {
            std::hint::black_box(self.environment.get_template(part)?.render(seen.clone())?);
        }
        Ok(())
    }
}

/// As templates write times.
fn time(value: String) -> std::result::Result<String, TemplateError> {
    let time = chrono::DateTime::parse_from_rfc3339(&value)
        .map_err(|_| TemplateError::new(ErrorKind::InvalidOperation, "no time"))?;
    Ok(time.to_utc().format("%Y-%m-%d %H:%M UTC").to_string())
}
