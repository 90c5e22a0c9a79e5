//! A mail from a template, without a database. See README.md.

use std::{env, error::Error, sync::Arc};

use stylobate_core::Message;
use stylobate_notify::{
    Category, Direct, FileTransport, MailTransport, Mailbox, MessageCatalogue, MessageKind, Product,
    PublicUrl, Severity, SmtpTransport, SmtpUrl, TemplateText,
};

const SHIPPED: MessageKind = MessageKind {
    templates: &[TemplateText {
        locale: "en",
        subject: "Your {{ item }} is on its way",
        text: "Hello,\n\nyour {{ item }} has left us. Follow it here:\n{{ link('/parcels', number=number) }}\n",
        html: Some(
            "<p>Your <b>{{ item }}</b> has left us. <a href=\"{{ link('/parcels', number=number) }}\">Follow it</a></p>",
        ),
    }],
    sample: r#"{ "item": "lamp", "number": 7 }"#,
    ..MessageKind::new("order.shipped", Category::Account, Severity::Success)
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mails: Arc<dyn MailTransport> = match env::var("SMTP_URL") {
        Ok(url) => Arc::new(SmtpTransport::builder(SmtpUrl::parse(&url)?).build()?),
        Err(_) => Arc::new(FileTransport::new("mails")),
    };
    let from = env::var("MAIL_FROM").unwrap_or_else(|_| "The Shop <shop@example.com>".to_owned());
    let product = Product { name: "The Shop".to_owned(), url: PublicUrl::parse("https://shop.example.com")? };
    let catalogue = MessageCatalogue::new([SHIPPED])?;
    let direct = Direct::builder(catalogue, product, Mailbox::parse(&from)?, mails).build();

    let to = env::args().nth(1).ok_or("to whom? notify-only ada@example.com")?;
    let values = serde_json::json!({ "item": "lamp", "number": 4711 });
    Ok(direct.deliver(&Message::to_email("order.shipped", to).with(values)).await?)
}
