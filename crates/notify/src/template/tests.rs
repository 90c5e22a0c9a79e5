use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Category, Severity};

const RESET: MessageKind = MessageKind {
    templates: &[
        TemplateText {
            locale: "en",
            subject: "Set a new password, {{ recipient.name }}",
            text: "Hello {{ recipient.name }},\n\n{% if address %}\nAsked for from {{ address }}.\n\n{% endif %}\n{{ link('/reset', token=token) }}\n\n{{ product.name }}\n",
            html: Some(
                "<p>Hello {{ recipient.name }}</p><a href=\"{{ link('/reset', token=token) }}\">Go</a>",
            ),
        },
        TemplateText { locale: "de", subject: "Neues Passwort", text: "{{ at|time }}", html: None },
    ],
    sample: r#"{ "token": "abc", "address": "192.0.2.1", "at": "2026-03-01T12:00:00Z" }"#,
    ..MessageKind::new("reset", Category::Security, Severity::Info)
};

fn renderer() -> Renderer {
    let url = PublicUrl::parse("https://example.test/app").unwrap();
    Renderer::new(MessageCatalogue::new([RESET]).unwrap(), Product { name: "Example".to_owned(), url })
}

fn values() -> Json {
    json!({ "token": "a+b/c=", "address": null, "at": "2026-03-01T13:30:00.123456+01:00", "more": 1 })
}

fn draft<'a>(name: &'a str, values: &'a Json) -> Draft<'a> {
    Draft { kind: "reset", locale: None, recipient_name: name, values }
}

fn in_html(text: &str) -> TemplateOverride {
    TemplateOverride {
        locale: "en".to_owned(),
        subject: "s".to_owned(),
        text: "t".to_owned(),
        html: Some(text.to_owned()),
    }
}

#[test]
fn a_message_has_its_values_and_links_to_the_product() {
    let rendered = renderer().render(&draft("Ada", &values())).unwrap();
    assert_eq!(rendered.subject, "Set a new password, Ada");
    assert_eq!(rendered.text, "Hello Ada,\n\nhttps://example.test/app/reset?token=a%2Bb%2Fc%3D\n\nExample\n");
    let html = rendered.html.unwrap().replace("&#x2f;", "/");
    assert_eq!(html, "<p>Hello Ada</p><a href=\"https://example.test/app/reset?token=a%2Bb%2Fc%3D\">Go</a>");
}

#[test]
fn the_recipients_locale_is_rendered_if_it_is_there() {
    let values = values();
    let in_locale = |locale| renderer().render(&Draft { locale, ..draft("Ada", &values) }).unwrap();
    let german = in_locale(Some("de-CH"));
    assert_eq!(
        (german.locale.as_str(), german.text.as_str(), german.html),
        ("de", "2026-03-01 12:30 UTC\n", None)
    );
    assert_eq!(in_locale(Some("fr")).locale, "en");
}

// C50, A22
#[test]
fn a_name_is_text_wherever_it_stands() {
    let name = "Ada\r\nBcc: eve@evil.test\u{2028}<script>\"'&\u{202e} https://evil.test";
    let rendered = renderer().render(&draft(name, &values())).unwrap();
    assert_eq!(rendered.subject.lines().count(), 1);
    assert!(rendered.subject.starts_with("Set a new password, Ada Bcc: eve@evil. test <script>\"'&"));
    let html = rendered.html.unwrap();
    assert!(html.contains("&lt;script&gt;&quot;&#x27;&amp;") && !html.contains("<script"), "{html}");
    for part in [&rendered.text, &rendered.subject, &html] {
        assert!(
            !part.contains("https://evil")
                && !part.contains("evil.test")
                && !part.contains(['\r', '\u{2028}', '\u{202e}']),
            "{part}"
        );
    }
    let long = "x".repeat(1_000);
    let subject = renderer().render(&draft(&long, &values())).unwrap().subject;
    assert_eq!((subject.chars().count(), subject.ends_with('…')), (200, true));
}

#[test]
fn a_value_is_whole_in_a_link_and_taken_apart_beside_it() {
    let template = TemplateOverride {
        locale: "en".to_owned(),
        subject: "s".to_owned(),
        text: "{{ token }} {{ link('/r', t=token) }} {{ link(address) }}".to_owned(),
        html: Some("<p>{{ token }} <a href=\"{{ link('/r', t=token) }}\">x</a></p>".to_owned()),
    };
    let key = OverrideKey { tenant: None, kind: "reset".to_owned(), locale: "en".to_owned(), version: 1 };
    let values = json!({ "token": "www.evil.test/://x", "address": "/v1.x/a", "at": "" });
    let rendered = renderer().render_override(&key, &template, &draft("Ada", &values)).unwrap();
    let (apart, link) = ("www. evil. test/: //x", "https://example.test/app/r?t=www.evil.test%2F%3A%2F%2Fx");
    assert_eq!(rendered.text, format!("{apart} {link} https://example.test/app/v1.x/a\n"));
    let html = rendered.html.unwrap().replace("&#x2f;", "/");
    assert_eq!(html, format!("<p>{apart} <a href=\"{link}\">x</a></p>"));
}

#[test]
fn values_that_are_not_those_of_the_kind_are_refused_by_name() {
    let renderer = renderer();
    let refused = |values: Json| renderer.render(&draft("Ada", &values)).unwrap_err();
    let missing = refused(json!({ "token": "canary", "at": "x" }));
    assert_eq!(missing.to_string(), "the message `reset` has no value `address`");
    for wrong in [json!(null), json!([]), json!("token")] {
        assert_eq!(refused(wrong).code(), "notify_values_invalid");
    }
    let unknown = Draft { kind: "x", ..draft("Ada", &Json::Null) };
    assert_eq!(renderer.render(&unknown).unwrap_err().code(), "notify_kind_unknown");
}

#[test]
fn a_megabyte_of_values_is_refused_and_not_rendered() {
    let huge = json!({ "token": "x".repeat(1 << 20), "address": null, "at": "" });
    assert_eq!(renderer().render(&draft("Ada", &huge)).unwrap_err().code(), "notify_values_invalid");
    let large = json!({ "token": "x", "address": "\"".repeat(200_000), "at": "" });
    let template = in_html("<p>{{ address }}</p>");
    let key = OverrideKey { tenant: None, kind: "reset".to_owned(), locale: "en".to_owned(), version: 1 };
    // Escaped it is five times as long.
    let error = renderer().render_override(&key, &template, &draft("Ada", &large)).unwrap_err();
    assert_eq!(error.code(), "notify_render_failed");
    assert!(error.to_string().contains("longer than"), "{error}");
}

// A24
#[test]
fn no_error_repeats_a_value() {
    let renderer = renderer();
    let values = json!({ "token": "canary", "address": "canary", "at": "canary" });
    let error = renderer.render(&Draft { locale: Some("de"), ..draft("canary", &values) }).unwrap_err();
    assert_eq!(error.code(), "notify_render_failed");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    let rendered = renderer.render(&draft("canary", &json!({ "token": "canary", "address": "", "at": "" })));
    assert!(!format!("{rendered:?}").contains("canary"));
}

#[test]
fn a_template_of_a_tenant_is_checked_and_shown_with_the_sample() {
    let renderer = renderer();
    let good = TemplateOverride {
        locale: "en".to_owned(),
        subject: "{{ product.name }}: reset".to_owned(),
        text: "{{ address }}\r\n{{ link('/r', t=token) }}".to_owned(),
        html: None,
    };
    let shown = renderer.preview("reset", &good).unwrap();
    assert_eq!(shown.subject, "Example: reset");
    assert_eq!(shown.text, "192.0.2.1\nhttps://example.test/app/r?t=abc\n");
    let refused = |change: &dyn Fn(&mut TemplateOverride)| {
        let mut template = good.clone();
        change(&mut template);
        renderer.check("reset", &template).unwrap_err()
    };
    for (text, words) in [
        ("{{ secret }}", "there is no value `secret`"),
        ("{{ recipient.email }}", "there is no value `recipient.email`"),
        ("{{ token.length }}", "text, line 1"),
        ("a\n{% if %}{% endif %}", "text, line 2"),
        ("{{ link('//evil.test') }}", "text, line 1"),
        ("https{{ ':' }}//evil.test", "an address of its own"),
        ("{{ 'https://evil.test' }}", "an address of its own"),
        ("{{ product.url }}.evil.test", "an address of its own"),
        ("{{ link() }}", "missing argument"),
        ("{{ link(token) }}", "invalid operation"),
    ] {
        let error = refused(&|template| text.clone_into(&mut template.text));
        assert_eq!(error.code(), "notify_template_invalid");
        assert!(error.to_string().contains(words), "{error}: {words}");
    }
    assert!(refused(&|template| template.subject.push('\n')).to_string().contains("subject"));
    assert!(refused(&|template| template.html = Some("<img>".into())).to_string().contains("html"));
    assert_eq!(refused(&|template| template.locale.clear()).code(), "notify_setting_invalid");
    assert_eq!(renderer.check("x", &good).unwrap_err().code(), "notify_kind_unknown");
}

#[test]
fn a_template_that_runs_on_is_stopped() {
    let loops = "{% for a in token %}{% for b in token %}{% for c in token %}{{ c }}{% endfor %}{% endfor %}{% endfor %}";
    let many = json!({ "token": vec![1; 1_000], "address": null, "at": "" });
    let key = OverrideKey { tenant: None, kind: "reset".to_owned(), locale: "en".to_owned(), version: 1 };
    let error = renderer().render_override(&key, &in_html(loops), &draft("Ada", &many)).unwrap_err();
    assert!(error.to_string().contains("steps"), "{error}");
}

#[test]
fn a_changed_template_is_another_one_and_old_ones_are_let_go() {
    let renderer = renderer();
    let key =
        |version| OverrideKey { tenant: None, kind: "reset".to_owned(), locale: "en".to_owned(), version };
    let shown = |version, text: &str| {
        renderer
            .render_override(&key(version), &in_html(text), &draft("Ada", &values()))
            .unwrap()
            .html
            .unwrap()
    };
    assert_eq!((shown(1, "a"), shown(1, "b"), shown(2, "b")), ("a".into(), "a".into(), "b".into()));
    let kept = i64::try_from(OVERRIDES_MAX).unwrap();
    (3..=kept + 2).for_each(|version| drop(shown(version, "c")));
    assert_eq!(renderer.overrides.lock().unwrap().kept.len(), OVERRIDES_MAX);
    assert_eq!(shown(1, "d"), "d");
}

const MARKED: MessageKind = MessageKind {
    templates: &[TemplateText { locale: "en", subject: "s", text: "t", html: None }],
    sample: r#"{ "a": "<script>'\"&{{ b }}</p><img src=x> https://evil.test", "b": ["/c", "<i>"] }"#,
    ..MessageKind::new("marked", Category::System, Severity::Info)
};

static MARKED_RENDERER: LazyLock<Renderer> = LazyLock::new(|| {
    let url = PublicUrl::parse("https://example.test").unwrap();
    Renderer::new(MessageCatalogue::new([MARKED]).unwrap(), Product { name: "Example".to_owned(), url })
});

/// What templates are made of, and what they must not be made of.
const TOKENS: [&str; 56] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{{-",
    "-%}",
    "{",
    "}",
    "%",
    "#",
    " ",
    " ",
    "\n",
    "\r",
    "\r\n",
    "a",
    "b",
    "a",
    "'",
    "\"",
    "|",
    "upper",
    "safe",
    "first",
    " if ",
    " else ",
    "endif",
    "raw",
    "endraw",
    " for x in b ",
    "endfor",
    "set ",
    "link('/x')",
    "link(a)",
    "(",
    ")",
    "[",
    "0",
    "]",
    ".",
    ",",
    "=",
    "~",
    "*",
    "<",
    ">",
    "</",
    "<p>",
    "<script>",
    "<a href=\"{{ ",
    " }}\">",
    "<p class=\"",
    " onclick=\"",
    "https://evil.test",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    // What is decided on the text holds for what the engine makes of it, whatever the two think of each other's signs.
    #[test]
    fn what_passes_makes_text_and_links_into_the_product(
        picked in prop::collection::vec(prop::sample::select(TOKENS.as_slice()), 0..12),
        around in prop::sample::select(vec![("", ""), ("{{ ", " }}"), ("<a href=\"{{ ", " }}\">x</a>"), ("<p>{% if ", " %}x{% endif %}</p>")]),
    ) {
        let html = format!("{}{}{}", around.0, picked.concat(), around.1);
        let template = TemplateOverride { text: html.clone(), ..in_html(&html) };
        if let Ok(rendered) = MARKED_RENDERER.preview("marked", &template) {
            let html = rendered.html.unwrap_or_default().replace("&#x2f;", "/");
            for wrong in ["<script", "<img", "<i>", "{{ b }}</p>", "://evil"] {
                prop_assert!(!html.contains(wrong), "{wrong} in {html}");
            }
            for tag in html.split('<').skip(1).filter_map(|tag| tag.split('>').next()) {
                prop_assert!(!tag.contains("onclick"), "{html}");
            }
            for link in html.split("href=").skip(1) {
                prop_assert!(link.starts_with("\"https://example.test/"), "{html}");
            }
            prop_assert!(!rendered.text.contains("://evil"), "{}", rendered.text);
        }
    }
}
