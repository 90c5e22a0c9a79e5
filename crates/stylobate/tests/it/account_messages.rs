//! What people read about their accounts: no organisation has other words for it, or sees it.

use stylobate::{
    default_message_kinds,
    notify::{Draft, MessageCatalogue, Product, PublicUrl, Renderer},
};

#[test]
fn every_message_about_an_account_says_what_it_said_before() {
    let catalogue = MessageCatalogue::new(default_message_kinds()).unwrap();
    let kinds: Vec<_> = catalogue.iter().filter(|kind| kind.is_platform_wide).copied().collect();
    let samples: Vec<_> = kinds.iter().map(|kind| catalogue.sample(kind.name).unwrap().clone()).collect();
    let product =
        Product { name: "Stylobate".to_owned(), url: PublicUrl::parse("https://app.example.test").unwrap() };
    let renderer = Renderer::new(catalogue, product);
    let mut said = Vec::new();
    for (kind, values) in kinds.iter().zip(&samples) {
        for template in kind.templates {
            let draft = Draft {
                kind: kind.name,
                locale: Some(template.locale),
                recipient_name: "Ada Lovelace",
                values,
            };
            let shown = renderer.render(&draft).unwrap();
            let (category, severity) = (kind.category.name(), kind.severity.name());
            let html = shown.html.map(|html| format!("--- html\n{html}\n")).unwrap_or_default();
            let title = format!("{} ({category}, {severity}, {})", kind.name, shown.locale);
            said.push(format!(
                "=== {title} ===\n--- subject\n{}\n--- text\n{}{html}",
                shown.subject, shown.text
            ));
        }
    }
    insta::assert_snapshot!("account_messages", said.join("\n"));
}
