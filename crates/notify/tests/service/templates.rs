//! What tenants say instead of the product's own words.

use stylobate_core::{Clock as _, Message, RequestContext, SystemClock, TenantId};
use stylobate_db::{Scope, Tx};
use stylobate_notify::{Contact, LOCALES_MAX, MIGRATIONS, NotifierError, TemplateOverride};
use stylobate_testkit::{TestDb, both_engines};

use super::world::{World, as_person, platform};

fn template(locale: &str, subject: &str, text: &str) -> TemplateOverride {
    TemplateOverride { locale: locale.into(), subject: subject.into(), text: text.into(), html: None }
}

async fn put(world: &World, context: &RequestContext, locale: &str, subject: &str) -> i64 {
    let new = template(locale, subject, "{{ plan }}, {{ recipient.name }}");
    world.notifier.put_template(context, "welcome", new, None).await.unwrap().version
}

/// The subject of a welcome to Ada, as she gets it.
async fn subject(world: &World, locale: &str, tenant: Option<TenantId>) -> String {
    let contact = Contact { locale: Some(locale.to_owned()), ..World::contact("Ada", "ada@example.org") };
    world.know(world.ada, contact);
    // Its budget is not what this is about.
    world.pass(chrono::TimeDelta::days(1));
    let planned = world.planned(world.welcome().in_tenant(tenant)).await;
    world.deliver(planned[0].id).await;
    world.post.mails().pop().unwrap().subject().to_owned()
}

async fn a_tenant_speaks_in_its_own_words(db: TestDb) {
    let world = World::new(db).await;
    let (own, elsewhere) = (Some(world.tenant), Some(TenantId::new(SystemClock.now())));
    put(&world, &world.context(), "en", "Ours: {{ plan }}").await;
    assert_eq!(subject(&world, "en", own).await, "Ours: gold");
    // In the language that it has, in the tenant that it is of.
    assert_eq!(subject(&world, "de", own).await, "Willkommen bei Acme");
    assert_eq!(subject(&world, "en", elsewhere).await, "Welcome to Acme");
    // What the platform says counts where a tenant says nothing.
    put(&world, &platform(), "en", "Everybody: {{ plan }}").await;
    put(&world, &platform(), "fr", "Bienvenue {{ plan }}").await;
    assert_eq!(subject(&world, "en", own).await, "Ours: gold");
    assert_eq!(subject(&world, "en", elsewhere).await, "Everybody: gold");
    assert_eq!(
        (subject(&world, "fr", own).await, subject(&world, "fr", None).await),
        ("Bienvenue gold".into(), "Bienvenue gold".into())
    );
    // Changed, removed and made anew, it is the new one that is sent.
    put(&world, &world.context(), "en", "Changed").await;
    assert_eq!(subject(&world, "en", own).await, "Changed");
    world.notifier.delete_template(&world.context(), "welcome", "en").await.unwrap();
    assert_eq!(subject(&world, "en", own).await, "Everybody: gold");
    put(&world, &world.context(), "en", "Anew").await;
    assert_eq!(subject(&world, "en", own).await, "Anew");
    let listed = world.notifier.templates(&world.context(), "welcome").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|one| (one.tenant_id, one.template.locale.as_str())).collect();
    assert_eq!(listed, [(own, "en"), (None, "en"), (None, "fr")]);
    let foreign = as_person(world.ada, elsewhere.unwrap());
    assert_eq!(world.notifier.template_versions(&foreign).await.unwrap().len(), 2);
    let refused = world.notifier.delete_template(&foreign, "welcome", "en").await.unwrap_err();
    assert_eq!(refused.code(), "not_found");
}
both_engines!(a_tenant_speaks_in_its_own_words, &[&MIGRATIONS]);

async fn a_tenant_has_no_words_for_what_is_sent_of_none(db: TestDb) {
    let world = World::new(db).await;
    let (own, all) = (world.context(), platform());
    let new = || template("en", "Ours", "{{ recipient.name }}");
    let code = |error: NotifierError| error.code();
    let notifier = &world.notifier;
    assert_eq!(
        code(notifier.put_template(&own, "closed", new(), None).await.unwrap_err()),
        "notify_kind_unknown"
    );
    assert_eq!(
        code(notifier.delete_template(&own, "closed", "en").await.unwrap_err()),
        "notify_kind_unknown"
    );
    for draft in [None, Some(new())] {
        let shown = notifier.preview_template(&own, "closed", None, draft.as_ref()).await;
        assert_eq!(code(shown.unwrap_err()), "notify_kind_unknown");
    }
    assert!(notifier.template_kinds(&own).all(|kind| kind.name != "closed"));
    assert!(notifier.template_kinds(&all).any(|kind| kind.name == "closed"));
    // The platform's count, whatever tenant hands the message over, and no tenant sees the delivery.
    notifier.put_template(&all, "closed", template("en", "Everybody", "x"), None).await.unwrap();
    let message = Message::to_email("closed", "ada@example.org").in_tenant(Some(world.tenant));
    let planned = world.planned(message).await;
    world.deliver(planned[0].id).await;
    assert_eq!(world.post.mails().pop().unwrap().subject(), "Everybody");
    assert_eq!(planned[0].tenant_id, None);
}
both_engines!(a_tenant_has_no_words_for_what_is_sent_of_none, &[&MIGRATIONS]);

async fn what_cannot_be_sent_is_not_saved(db: TestDb) {
    let world = World::new(db).await;
    let put = async |kind: &str, new| world.notifier.put_template(&world.context(), kind, new, None).await;
    for (new, code) in [
        (template("en", "{{ plan", "t"), "notify_template_invalid"),
        (template("en", "{{ nobody }}", "t"), "notify_template_invalid"),
        (template("en", "s", "{{ plan.a.b }}"), "notify_template_invalid"),
        (template("en", "s", "{% include 'x' %}"), "notify_template_invalid"),
        (template("en", "s", &"x".repeat(33_000)), "notify_template_invalid"),
        (template("en", "s", "a\0b"), "notify_template_invalid"),
        (template("en", "", "t"), "validation"),
        (template("en", "{% if plan == 'gold' %}s{% endif %}", "t"), "validation"),
        (template("en", "s", "{# nothing #}\n"), "validation"),
        (template("no locale", "s", "t"), "validation"),
        (template("e", "s", "t"), "validation"),
        (
            TemplateOverride {
                html: Some("<a href=\"https://evil.test\">x</a>".into()),
                ..template("en", "s", "t")
            },
            "notify_template_invalid",
        ),
    ] {
        assert_eq!(put("welcome", new.clone()).await.unwrap_err().code(), code, "{new:?}");
        let previewed = world.notifier.preview_template(&world.context(), "welcome", None, Some(&new)).await;
        assert_eq!(previewed.unwrap_err().code(), code);
    }
    assert_eq!(put("nonsense", template("en", "s", "t")).await.unwrap_err().code(), "notify_kind_unknown");
    let three_lines = template("en", "s", "one\ntwo\n{{ nobody.here }}");
    let refused = put("welcome", three_lines).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            NotifierError::Notify(stylobate_notify::NotifyError::TemplateInvalid { part: "text", .. })
        ),
        "{refused:?}"
    );
    assert!(world.notifier.template_versions(&world.context()).await.unwrap().is_empty());
    assert!(world.actions().is_empty());
}
both_engines!(what_cannot_be_sent_is_not_saved, &[&MIGRATIONS]);

async fn a_template_that_shows_nothing_silences_nothing(db: TestDb) {
    let world = World::new(db).await;
    let put = async |kind: &str, new| world.notifier.put_template(&world.context(), kind, new, None).await;
    let nothing = ["", " \r\n", "\u{200b}", "{# t #}", "{% if token == 'y' %}t{% endif %}", "{{ '\u{ad}' }}"];
    for part in ["subject", "text"] {
        for nothing in nothing.into_iter().filter(|nothing| part == "text" || !nothing.contains('\n')) {
            let new =
                if part == "text" { template("en", "s", nothing) } else { template("en", nothing, "t") };
            let refused = put("reset", new).await.unwrap_err();
            assert!(
                matches!(refused, NotifierError::Invalid { field, .. } if field == part),
                "{part} {nothing:?}"
            );
        }
    }
    // With the sample there is something to see, and none with what is sent.
    for (subject, text) in [
        ("Theirs {{ token|length }}", "{% if token == 'x' %}t{% endif %}"),
        ("{% if token == 'x' %}s{% endif %}", "t"),
    ] {
        put("reset", template("en", subject, text)).await.unwrap();
        world.pass(chrono::TimeDelta::days(1));
        let planned = world.planned(world.reset()).await;
        world.deliver(planned[0].id).await;
        assert_eq!(world.post.mails().pop().unwrap().subject(), "Reset");
        assert!(world.post.last().contains("canary"), "{}", world.post.last());
    }
    // HTML that shows nothing is left out: mail programs would show it instead of the text.
    for html in ["", "<title>t</title><p> </p>", "<p>{% if token == 'x' %}t{% endif %}</p>"] {
        let new = TemplateOverride { html: Some(html.into()), ..template("en", "Theirs", "{{ token }}") };
        put("reset", new).await.unwrap();
        world.pass(chrono::TimeDelta::days(1));
        let planned = world.planned(world.reset()).await;
        world.deliver(planned[0].id).await;
        assert_eq!(world.post.mails().pop().unwrap().subject(), "Theirs");
        assert!(!world.post.last().contains("text/html"), "{html}: {}", world.post.last());
    }
}
both_engines!(a_template_that_shows_nothing_silences_nothing, &[&MIGRATIONS]);

async fn who_was_slower_is_told(db: TestDb) {
    let world = World::new(db).await;
    let first = put(&world, &world.context(), "en", "one").await;
    let with = async |version| {
        let new = template("en", "two", "t");
        world.notifier.put_template(&world.context(), "welcome", new, Some(version)).await
    };
    assert_eq!(with(0).await.unwrap_err().code(), "version_conflict");
    let second = with(first).await.unwrap().version;
    assert!(second > first);
    assert_eq!(with(first).await.unwrap_err().code(), "version_conflict");
    assert_eq!(world.actions(), ["message_template.update", "message_template.update"]);
    let preview = async |locale, draft| {
        world.notifier.preview_template(&world.context(), "welcome", locale, draft).await.unwrap()
    };
    assert_eq!(preview(Some("en"), None).await.subject, "two");
    assert_eq!(preview(Some("de"), None).await.text, "Hallo Ada Lovelace, du hast free.\n");
    let draft = template("de", "{{ plan }}!", "t");
    assert_eq!(preview(None, Some(&draft)).await.subject, "free!");
}
both_engines!(who_was_slower_is_told, &[&MIGRATIONS]);

async fn every_spelling_of_a_language_is_one_template(db: TestDb) {
    let world = World::new(db).await;
    for (locale, subject) in [("EN", "one"), ("en", "two"), ("pt_br", "três"), ("PT-BR", "quatro")] {
        put(&world, &world.context(), locale, subject).await;
    }
    let listed = world.notifier.templates(&world.context(), "welcome").await.unwrap();
    let listed: Vec<_> =
        listed.iter().map(|one| (one.template.locale.as_str(), one.template.subject.as_str())).collect();
    assert_eq!(listed, [("en", "two"), ("pt-BR", "quatro")]);
    let preview =
        async |locale| world.notifier.preview_template(&world.context(), "welcome", Some(locale), None).await;
    assert_eq!(preview("Pt_bR").await.unwrap().subject, "quatro");
    let refused = preview("no locale").await.unwrap_err();
    assert!(matches!(refused, NotifierError::Invalid { field: "locale", .. }), "{refused:?}");
    world.notifier.delete_template(&world.context(), "welcome", "eN").await.unwrap();
    for none in ["en", "no locale"] {
        let refused = world.notifier.delete_template(&world.context(), "welcome", none).await.unwrap_err();
        assert_eq!(refused.code(), "not_found", "{none}");
    }
}
both_engines!(every_spelling_of_a_language_is_one_template, &[&MIGRATIONS]);

async fn templates_are_in_no_more_languages_than_there_may_be(db: TestDb) {
    let world = World::new(db).await;
    let locale =
        |at: usize| format!("x{}", char::from(b'a' + u8::try_from(at % 26).unwrap())) + ["", "-US"][at / 26];
    for at in 0..LOCALES_MAX {
        put(&world, &world.context(), &locale(at), "s").await;
    }
    let refused = async |kind: &str, locale: String| {
        let new = template(&locale, "s", "t");
        world.notifier.put_template(&world.context(), kind, new, None).await.err()
    };
    let one_too_many = refused("welcome", locale(LOCALES_MAX)).await.unwrap();
    assert!(matches!(one_too_many, NotifierError::Invalid { field: "locale", .. }), "{one_too_many:?}");
    assert!(one_too_many.to_string().contains("50"), "{one_too_many}");
    // Those that are there can be changed; another kind, and everybody's, have as many of their own.
    assert!(refused("welcome", locale(0)).await.is_none());
    assert!(refused("code", locale(LOCALES_MAX)).await.is_none());
    put(&world, &platform(), &locale(LOCALES_MAX), "s").await;
    world.notifier.delete_template(&world.context(), "welcome", &locale(1)).await.unwrap();
    assert!(refused("welcome", locale(LOCALES_MAX)).await.is_none());
}
both_engines!(templates_are_in_no_more_languages_than_there_may_be, &[&MIGRATIONS]);

async fn a_text_is_read_once_for_each_version(db: TestDb) {
    let world = World::new(db).await;
    put(&world, &world.context(), "en", "one").await;
    let tenant = Some(world.tenant);
    assert_eq!(subject(&world, "en", tenant).await, "one");
    // What is kept of a version is what is sent, whatever the row says by now.
    let change = async |tx: &mut Tx| tx.q("UPDATE notify_templates SET subject = 'unread'").run().await;
    world.db.transact(Scope::Platform("a test"), change).await.unwrap();
    assert_eq!(subject(&world, "en", tenant).await, "one");
    put(&world, &world.context(), "en", "two").await;
    assert_eq!(subject(&world, "en", tenant).await, "two");
}
both_engines!(a_text_is_read_once_for_each_version, &[&MIGRATIONS]);
