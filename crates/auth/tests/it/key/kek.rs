use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Barrier, thread};

use stylobate_auth::{KeyEncryptionKey, KeyError, LocalSealer};

fn key_id(key: &KeyEncryptionKey) -> String {
    LocalSealer::new(key).key_id()
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_first_start_makes_a_private_file_and_the_second_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    let first = KeyEncryptionKey::from_file_or_generate(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = KeyEncryptionKey::from_file_or_generate(&path).unwrap();
    assert_eq!(key_id(&first), key_id(&second));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
}

#[test]
fn a_made_key_stays_marked_until_somebody_adopts_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    assert!(KeyEncryptionKey::from_file_or_generate(&path).unwrap().is_generated());
    assert!(KeyEncryptionKey::from_file(&path).unwrap().is_generated());
    let text = fs::read_to_string(&path).unwrap();
    let (_, key) = text.split_once('\n').unwrap();
    write(&path, key, 0o600);
    assert!(!KeyEncryptionKey::from_file(&path).unwrap().is_generated());
}

#[test]
fn starts_that_race_agree_on_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    let start = Barrier::new(16);
    let ids: Vec<String> = thread::scope(|scope| {
        let starts: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    key_id(&KeyEncryptionKey::from_file_or_generate(&path).unwrap())
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    for mode in [0o640, 0o604, 0o644, 0o620, 0o601, 0o666] {
        write(&path, "", mode);
        let refused = KeyEncryptionKey::from_file_or_generate(&path);
        assert!(matches!(refused, Err(KeyError::KekFilePermissions)), "{mode:o}");
    }
}

#[test]
fn a_file_with_something_else_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    let key = "wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t8=";
    for text in ["", "# comment\n", "hunter2\n", &format!("{key}\n{key}\n"), &"A".repeat(5_000)] {
        write(&path, text, 0o600);
        let refused = KeyEncryptionKey::from_file_or_generate(&path);
        assert!(matches!(refused, Err(KeyError::KekInvalid)), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), *text);
    }
    write(&path, &format!("# ours since 2026\n\n{key}\n"), 0o600);
    assert!(!KeyEncryptionKey::from_file(&path).unwrap().is_generated());
}

#[test]
fn a_missing_folder_is_an_error_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/kek");
    assert!(matches!(KeyEncryptionKey::from_file_or_generate(&path), Err(KeyError::KekFile(_))));
    assert!(!path.parent().unwrap().exists());
}
