//! The program does what its README says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::{env, fs, path::Path, process::Command};

fn run(folder: &Path, to: &str, smtp_url: Option<&str>) -> Result<(), String> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_notify-only"));
    program.current_dir(folder).arg(to).env_remove("SMTP_URL").env_remove("MAIL_FROM");
    if let Some(url) = smtp_url {
        program.env("SMTP_URL", url).env("MAIL_FROM", "Test <test@example.test>");
    }
    let output = program.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

/// The mails in a folder that are to `to`.
fn mails(folder: &Path, to: &str) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    files.filter(|mail| mail.contains(&format!("To: {to}\r\n"))).collect()
}

fn is_the_mail(mail: &str) {
    for part in [
        "Subject: Your lamp is on its way\r\n",
        "https://shop.example.com/parcels?number=4711",
        "Content-Type: text/html",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
}

#[test]
fn without_a_server_mails_lie_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "ada@example.test", None).unwrap();
    let mails = mails(&folder.path().join("mails"), "ada@example.test");
    assert_eq!(mails.len(), 1);
    is_the_mail(mails.first().unwrap());
}

#[test]
fn with_a_server_mails_are_sent() {
    let variable = |name: &str| {
        env::var(name).unwrap_or_else(|_| {
            panic!("{name} is not set: run `cargo xtask test`, or `cargo xtask services up`")
        })
    };
    let url = variable("STYLOBATE_TEST_SMTP_PLAIN_URL");
    let folder = tempfile::tempdir().unwrap();
    let to = format!("notify-only-{}@example.test", std::process::id());
    run(folder.path(), &to, Some(&url)).unwrap();
    let mails = mails(Path::new(&variable("STYLOBATE_TEST_SMTP_BOX")), &to);
    is_the_mail(mails.last().unwrap());
    assert!(!folder.path().join("mails").exists());
    // Whoever it was is not in what is said about it, and neither is the password.
    let error = run(folder.path(), "refuse-550@example.test", Some(&url)).unwrap_err();
    assert!(error.contains("smtp_recipient_refused") && !error.contains("refuse-550"), "{error}");
    let encrypted = url.replace("?tls=none", "");
    let error = run(folder.path(), &to, Some(&encrypted)).unwrap_err();
    assert!(error.contains("smtp_tls_failed"), "{error}");
}

#[test]
fn what_is_no_address_gets_no_mail() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(folder.path(), "ada@example.test, eve@example.test", None).unwrap_err();
    assert!(error.contains("Address"), "{error}");
    assert!(!folder.path().join("mails").exists());
}
