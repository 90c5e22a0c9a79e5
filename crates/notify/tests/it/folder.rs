use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use stylobate_notify::{FailureClass, FileTransport, MailTransport as _, conformance};

use super::world::{in_folder, mail};

#[tokio::test]
async fn mails_lie_in_the_folder_as_they_were_written() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("not/there/yet");
    let transport = FileTransport::new(&folder);
    let path = folder.display().to_string();
    conformance::mail_transport(&transport, async |id| in_folder(&path, id)).await;
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(entry.file_name().to_string_lossy().ends_with(".eml"), "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_mail_that_is_sent_again_takes_the_place_of_the_first() {
    let place = tempfile::tempdir().unwrap();
    let transport = FileTransport::new(place.path());
    let mail = mail("ada");
    transport.send(&mail).await.unwrap();
    transport.send(&mail).await.unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_an_outage() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let transport = FileTransport::new(file.join("folder"));
    let error = transport.send(&mail("ada")).await.unwrap_err();
    assert_eq!((error.code, error.class), ("mail_folder_failed", FailureClass::Outage));
    assert_eq!(transport.check().await.unwrap_err().code, "mail_folder_failed");
}

#[tokio::test]
async fn old_mails_are_removed_from_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let transport = FileTransport::new(place.path().join("box"));
    let day = Duration::from_secs(86_400);
    assert_eq!(transport.remove_older(day).await.unwrap(), 0);
    transport.send(&mail("ada")).await.unwrap();
    transport.send(&mail("bob")).await.unwrap();
    let foreign = place.path().join("box/notes.txt");
    fs::write(&foreign, "").unwrap();
    let old = fs::metadata(&foreign).unwrap().modified().unwrap() - 2 * day;
    let first = fs::read_dir(place.path().join("box")).unwrap().map(|entry| entry.unwrap().path());
    let first =
        first.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).min().unwrap();
    for path in [&first, &foreign] {
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(transport.remove_older(day).await.unwrap(), 1);
    assert!(!first.exists() && foreign.exists());
    assert_eq!(fs::read_dir(place.path().join("box")).unwrap().count(), 2);
}

#[tokio::test]
async fn what_a_process_left_unfinished_is_removed_and_what_is_being_written_is_not() {
    let place = tempfile::tempdir().unwrap();
    let transport = FileTransport::new(place.path());
    let (hour, now) = (Duration::from_secs(3_600), fs::metadata(place.path()).unwrap().modified().unwrap());
    for (name, age) in [
        (".ada.0000002a00000007", 2 * hour),
        (".check.0000002a00000008", 2 * hour),
        (".bob.0000002a00000009", hour / 2),
        (".ada.lock", 2 * hour),
        (".ada", 2 * hour),
        ("ada.0000002a00000007", 2 * hour),
    ] {
        fs::File::create(place.path().join(name)).unwrap().set_modified(now - age).unwrap();
    }
    // They were no mails, so none is counted.
    assert_eq!(transport.remove_older(Duration::ZERO).await.unwrap(), 0);
    let mut left: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".ada", ".ada.lock", ".bob.0000002a00000009", "ada.0000002a00000007"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_may_remove_old_mails_at_once() {
    let place = tempfile::tempdir().unwrap();
    let (day, now) = (Duration::from_secs(86_400), fs::metadata(place.path()).unwrap().modified().unwrap());
    for n in 0..400 {
        let file = fs::File::create(place.path().join(format!("{n}.eml"))).unwrap();
        file.set_modified(now - 2 * day).unwrap();
    }
    let mut removing = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let transport = FileTransport::new(place.path());
        removing.spawn(async move { transport.remove_older(day).await.unwrap() });
    }
    // Each mail is counted by whoever has removed it.
    assert_eq!(removing.join_all().await.into_iter().sum::<u64>(), 400);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
