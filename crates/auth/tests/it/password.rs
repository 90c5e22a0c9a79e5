//! Hashing through the public door: real parameters, real threads.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use stylobate_auth::{
    ContextWords, HashParams, HasherOptions, Password, PasswordError, PasswordHash, PasswordHasher,
    PasswordPeppers, PasswordPolicy, StoredHash, Verdict,
};

const PHRASE: &str = "quarry moss lantern";
const MATCH: Verdict = Verdict::Match { needs_rehash: false };

/// [`PHRASE`] with the salt `saltsaltsaltsalt`, hashed by the reference implementation in C (libargon2).
const REFERENCE: [&str; 4] = [
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$UlV/nBYagZoUS9elQYenIAvIVqqITsLze2LHzweVjZ0",
    "$argon2id$v=19$m=8192,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$7+mPi7V7t7klC+HBvS1w2CgkTVbtcybqBS7X8M5RLZU",
    "$argon2id$v=19$m=16384,t=1,p=4$c2FsdHNhbHRzYWx0c2FsdA$Rls0zy7EgQnOyxL2v56vvmLilU8daik7",
    "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$E1PontkTgohf+KwWTWu6rXOyC2CehN0h814Y8PVBu3o",
];

/// One text of each shape.
const STORED: [&str; 8] = [
    KEYED_REFERENCE,
    "$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i",
    "bcrypt_sha256$$2b$05$abcdefghijklmnopqrstuuXO/22yjnBS7Xy.czoZL2pScHx8l5SGm",
    "$bcrypt-sha256$v=2,t=2b,r=5$abcdefghijklmnopqrstuu$R2B/M8QA2NtHo.iwpRl8MUIiqtCIsM.",
    "$pbkdf2-sha256$29000$DWFMScl5b20NAcDY29ubcw$yRgRrpsfhmjBUbywIgcOizW94y9bLnkEi.NJ8XqRcdI",
    "pbkdf2_sha1$1000$NaClNaClNaClNaClNaCl12$7M16ETagUVxPr2KTo6xBiAQDB9g=",
    "$scrypt$ln=10,r=8,p=2$c2FsdHNhbHRzYWx0c2FsdA$pmPbQl4PLZ4qf90LKdxvRqMq/Bzl1WPpzgO6i9iGl8w",
    "$argon2i$v=16$m=512,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$Zec4jyhs+A7pEn5p1wfz7x3c13Vwnx4Lt0j8XN8faqc",
];

fn password(typed: &str) -> Password {
    Password::new(typed).unwrap()
}

fn options(permits: u32, waiting_max: usize) -> HasherOptions {
    HasherOptions::default().permits(NonZeroU32::new(permits).unwrap()).waiting_max(waiting_max)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

// A1
#[tokio::test]
async fn a_password_verifies_against_its_own_hash_only() {
    let hasher = PasswordHasher::default();
    let stored = hasher.hash(password(PHRASE)).await.unwrap();
    assert!(stored.expose_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.expose_phc());
    assert_eq!(hasher.verify(password(PHRASE), &stored).await.unwrap(), MATCH);
    for wrong in ["quarry moss lanterN", "quarry moss lantern ", " quarry moss lantern", "quarry moss", ""] {
        assert_eq!(hasher.verify(password(wrong), &stored).await.unwrap(), Verdict::Mismatch, "{wrong:?}");
    }
    let again = hasher.hash(password(PHRASE)).await.unwrap();
    assert_ne!(again.expose_phc(), stored.expose_phc(), "every hash has a salt of its own");
}

// A1: one documented Unicode form.
#[tokio::test]
async fn composed_and_decomposed_spellings_verify_alike() {
    let hasher = PasswordHasher::default();
    let stored = hasher.hash(password("caf\u{e9} \u{c5}ngstr\u{f6}m \u{1e0b}\u{323}")).await.unwrap();
    let decomposed = password("cafe\u{301} A\u{30a}ngstro\u{308}m d\u{323}\u{307}");
    assert_eq!(hasher.verify(decomposed, &stored).await.unwrap(), MATCH);
    assert_eq!(hasher.verify(password("cafe Angstrom d"), &stored).await.unwrap(), Verdict::Mismatch);
}

// A1: accept >= 64; nothing is cut off before or after.
#[tokio::test]
async fn the_last_of_1024_bytes_counts() {
    let hasher = PasswordHasher::default();
    let longest = "x".repeat(1024);
    let stored = hasher.hash(password(&longest)).await.unwrap();
    assert_eq!(hasher.verify(password(&longest), &stored).await.unwrap(), MATCH);
    assert_eq!(hasher.verify(password(&longest[1..]), &stored).await.unwrap(), Verdict::Mismatch);
    let almost = format!("{}y", &longest[1..]);
    assert_eq!(hasher.verify(password(&almost), &stored).await.unwrap(), Verdict::Mismatch);
}

// A1, C43: more than 1024 bytes are refused before any hashing.
#[test]
fn more_than_1024_bytes_never_become_a_password() {
    assert_eq!(Password::new("x".repeat(1025)).unwrap_err(), PasswordError::TooLong);
    assert_eq!(Password::new("x".repeat(50 << 20)).unwrap_err().code(), "password_too_long");
}

// A1: rehash on login.
#[tokio::test]
async fn hashes_of_other_parameters_verify_and_want_a_new_one() {
    let stronger = HashParams::new(24 * 1024, 3).unwrap();
    let old = PasswordHasher::default();
    let new = PasswordHasher::new(HasherOptions::default().params(stronger));
    let stored = old.hash(password(PHRASE)).await.unwrap();
    assert_eq!(new.verify(password(PHRASE), &stored).await.unwrap(), Verdict::Match { needs_rehash: true });
    assert_eq!(new.verify(password("wrong"), &stored).await.unwrap(), Verdict::Mismatch);
    let rehashed = new.hash(password(PHRASE)).await.unwrap();
    assert!(!rehashed.needs_rehash(&stronger));
    assert_eq!(new.verify(password(PHRASE), &rehashed).await.unwrap(), MATCH);
    assert_eq!(old.verify(password(PHRASE), &rehashed).await.unwrap(), Verdict::Match { needs_rehash: true });
}

#[tokio::test]
async fn hashes_of_the_reference_implementation_verify() {
    let hasher = PasswordHasher::default();
    for phc in REFERENCE {
        let stored: PasswordHash = phc.parse().unwrap();
        let needs_rehash = stored.needs_rehash(&hasher.params());
        assert_eq!(
            hasher.verify(password(PHRASE), &stored).await.unwrap(),
            Verdict::Match { needs_rehash },
            "{phc}"
        );
        assert_eq!(hasher.verify(password("wrong"), &stored).await.unwrap(), Verdict::Mismatch, "{phc}");
    }
}

// A3, C30: the same work for an account that does not exist.
#[tokio::test]
async fn a_dummy_verification_does_one_hash_and_never_matches() {
    let hasher = PasswordHasher::default();
    for typed in [PHRASE, "", "another"] {
        let before = hasher.stats().computed;
        assert_eq!(hasher.verify_dummy(password(typed)).await.unwrap(), Verdict::Mismatch);
        assert_eq!(hasher.stats().computed, before + 1);
    }
    assert_eq!(hasher.stats().held_bytes, 19_456 * 1024, "with the memory of current parameters");
}

// A2, C43: no more at once than permits, no more waiting than the queue holds, the rest is told when to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_served_within_bounds_and_the_excess_is_refused() {
    let hasher = PasswordHasher::new(options(2, 3).wait_max(Duration::from_secs(60)));
    let stored = hasher.hash(password(PHRASE)).await.unwrap();
    let attempts: Vec<_> = (0..200).map(|_| hasher.verify(password(PHRASE), &stored)).collect();
    // All are polled in one go before any hash can end more than a few of them.
    let (mut served, mut refused) = (0, 0);
    for result in join_all(attempts).await {
        match result {
            Ok(verdict) => {
                assert_eq!(verdict, MATCH);
                served += 1;
            }
            Err(PasswordError::Busy { retry_after }) => {
                assert_eq!(retry_after, Duration::from_secs(60));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(served >= 5, "two running and three waiting are served: {served}");
    assert_eq!(served + refused, 200);
    let stats = hasher.stats();
    assert_eq!((stats.waiting, stats.permits_in_use, stats.refused), (0, 0, refused));
    assert!(stats.refused > 0 && stats.held_bytes <= 2 * 19_456 * 1024, "{stats:?}");
}

// A2: one address cannot keep the others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_one_address_makes_room_for_others() {
    let hasher = PasswordHasher::new(options(1, 4).wait_max(Duration::from_secs(60)));
    let stored = hasher.hash(password(PHRASE)).await.unwrap();
    let flood = hasher.for_address(Some("2001:db8::1".parse().unwrap()));
    let same_network = hasher.for_address(Some("2001:db8::2".parse().unwrap()));
    let other = hasher.for_address(Some("192.0.2.1".parse().unwrap()));
    let whose = |number| match number {
        0..10 => &flood,
        10..20 => &same_network,
        _ => &other,
    };
    let attempts: Vec<_> = (0..22).map(|number| whose(number).verify(password(PHRASE), &stored)).collect();
    let results = join_all(attempts).await;
    assert!(results[20].is_ok() && results[21].is_ok(), "{results:?}");
    let refused = results.iter().filter(|result| result.is_err()).count() as u64;
    assert!(refused >= 10, "the flood is held to the queue: {refused}");
    assert_eq!(hasher.stats().refused, refused);
}

// A2: memory goes back after a while without sign-ins.
#[tokio::test]
async fn memory_is_given_back_after_a_pause() {
    let hasher = PasswordHasher::new(options(1, 1).idle_after(Duration::from_millis(20)));
    for _ in 0..2 {
        assert_eq!(hasher.verify_dummy(password(PHRASE)).await.unwrap(), Verdict::Mismatch);
        until("it is given back", || hasher.stats().held_bytes == 0).await;
    }
}

#[test]
fn a_hasher_outlives_runtimes_and_does_not_hold_them_up() {
    let hasher = PasswordHasher::default();
    for _ in 0..2 {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        assert!(runtime.block_on(hasher.verify_dummy(password(PHRASE))).is_ok());
        drop(runtime);
    }
    assert_eq!(hasher.stats().computed, 2);
}

// C43: whoever can write a row cannot make the process run out of memory or time.
#[tokio::test]
async fn a_stored_hash_that_costs_too_much_is_refused_unrun() {
    let hasher = PasswordHasher::default();
    let cheap = REFERENCE[0];
    for (m, t) in
        [(65_537, 1), (4_294_967_295_u32, 1), (4_294_967_295, 4_294_967_295), (19_456, 14), (8, u32::MAX)]
    {
        let stored: PasswordHash = cheap.replace("m=19456,t=2", &format!("m={m},t={t}")).parse().unwrap();
        let refused = hasher.verify(password(PHRASE), &stored).await.unwrap_err();
        assert_eq!(refused, PasswordError::HashTooCostly { memory_kib: m, passes: t });
    }
    assert_eq!(hasher.stats().computed, 0);
    let roomy = PasswordHasher::new(HasherOptions::default().stored_memory_kib_max(70_000));
    let stored: PasswordHash = cheap.replace("m=19456,t=2", "m=65537,t=1").parse().unwrap();
    assert_eq!(roomy.verify(password(PHRASE), &stored).await.unwrap(), Verdict::Mismatch);
}

const PEPPER_1: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PEPPER_2: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
/// [`PHRASE`] keyed with the secret of [`PEPPER_1`], by the reference implementation in C.
const KEYED_REFERENCE: &str = "$argon2id$v=19$m=19456,t=2,p=1,keyid=MQ$c2FsdHNhbHRzYWx0c2FsdA$Cm082Nl0Hj0N/RsSYuPqxQc8RtmHDTkWJabwKHvsExY";

fn peppered(peppers: &str) -> PasswordHasher {
    let peppers = PasswordPeppers::parse(peppers).unwrap();
    PasswordHasher::new(HasherOptions::default().peppers(peppers))
}

// A1: a copy of the database alone lets nobody guess.
#[tokio::test]
async fn a_keyed_hash_verifies_with_its_secret_only() {
    let keyed = peppered(PEPPER_1);
    let stored: PasswordHash = KEYED_REFERENCE.parse().unwrap();
    assert_eq!(keyed.verify(password(PHRASE), &stored).await.unwrap(), MATCH);
    assert_eq!(keyed.verify(password("wrong"), &stored).await.unwrap(), Verdict::Mismatch);
    let other_secret = peppered(&PEPPER_2.replace("2:", "1:"));
    assert_eq!(other_secret.verify(password(PHRASE), &stored).await.unwrap(), Verdict::Mismatch);
    for without in [PasswordHasher::default(), peppered(PEPPER_2)] {
        let missing = PasswordError::PepperMissing { version: 1 };
        assert_eq!(without.verify(password(PHRASE), &stored).await.unwrap_err(), missing);
        assert_eq!(without.check_stored(&stored.clone().into()), Err(missing));
    }
    // The version is bound to the hash by its result: the same text under another version is another secret.
    let renamed: PasswordHash = KEYED_REFERENCE.replace("keyid=MQ", "keyid=Mg").parse().unwrap();
    let both = peppered(&format!("{PEPPER_1},{PEPPER_2}"));
    assert_eq!(both.verify(password(PHRASE), &renamed).await.unwrap(), Verdict::Mismatch);
}

#[tokio::test]
async fn hashes_of_older_secrets_or_none_verify_and_want_a_new_one() {
    let (plain, one, both) =
        (PasswordHasher::default(), peppered(PEPPER_1), peppered(&format!("{PEPPER_1},{PEPPER_2}")));
    let renew = Verdict::Match { needs_rehash: true };
    let unkeyed = plain.hash(password(PHRASE)).await.unwrap();
    let of_one = one.hash(password(PHRASE)).await.unwrap();
    let of_two = both.hash(password(PHRASE)).await.unwrap();
    assert!(of_one.expose_phc().contains(",p=1,keyid=MQ$") && of_two.expose_phc().contains(",p=1,keyid=Mg$"));
    assert_eq!(one.verify(password(PHRASE), &unkeyed).await.unwrap(), renew);
    assert_eq!(both.verify(password(PHRASE), &of_one).await.unwrap(), renew);
    assert_eq!(both.verify(password(PHRASE), &of_two).await.unwrap(), MATCH);
    assert_eq!(one.verify(password(PHRASE), &of_one).await.unwrap(), MATCH);
}

#[tokio::test]
async fn a_row_is_verified_whatever_made_it() {
    let hasher = PasswordHasher::default();
    let own: StoredHash = hasher.hash(password(PHRASE)).await.unwrap().into();
    assert_eq!(own.scheme(), "argon2id");
    assert_eq!(hasher.verify_stored(password(PHRASE), &own).await.unwrap(), MATCH);
    let again: StoredHash = own.expose_text().parse().unwrap();
    assert_eq!(hasher.verify_stored(password("wrong"), &again).await.unwrap(), Verdict::Mismatch);
    assert_eq!("plaintext".parse::<StoredHash>().unwrap_err(), PasswordError::UnknownHash);
}

// A1: rehash on login.
#[cfg(feature = "legacy-hashes")]
#[tokio::test]
async fn hashes_of_replaced_systems_verify_and_always_want_a_new_one() {
    let hasher = PasswordHasher::default();
    for (scheme, text) in [
        ("bcrypt", "$2b$05$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i"),
        ("pbkdf2", "$pbkdf2-sha256$29000$DWFMScl5b20NAcDY29ubcw$yRgRrpsfhmjBUbywIgcOizW94y9bLnkEi.NJ8XqRcdI"),
        (
            "scrypt",
            "$scrypt$ln=10,r=8,p=2$c2FsdHNhbHRzYWx0c2FsdA$pmPbQl4PLZ4qf90LKdxvRqMq/Bzl1WPpzgO6i9iGl8w",
        ),
        (
            "argon2",
            "argon2$argon2id$v=19$m=512,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$4OGNK1XElSffmYYFjmb+w9SBAUoSDnoeb/dGCTrvp2U",
        ),
    ] {
        let stored: StoredHash = text.parse().unwrap();
        assert_eq!((stored.scheme(), stored.expose_text()), (scheme, text));
        assert!(!format!("{stored:?}").contains('$'), "nothing of it is printed");
        hasher.check_stored(&stored).unwrap();
        let renew = Verdict::Match { needs_rehash: true };
        assert_eq!(hasher.verify_stored(password(PHRASE), &stored).await.unwrap(), renew, "{text}");
        assert_eq!(
            hasher.verify_stored(password("wrong"), &stored).await.unwrap(),
            Verdict::Mismatch,
            "{text}"
        );
    }
    assert_eq!(hasher.stats().computed, 8, "on the threads and within the permits of the others");
}

// C43
#[cfg(feature = "legacy-hashes")]
#[tokio::test]
async fn a_hash_of_a_replaced_system_that_costs_too_much_is_refused_unrun() {
    let scrypt = "$scrypt$ln=10,r=8,p=2$c2FsdHNhbHRzYWx0c2FsdA$pmPbQl4PLZ4qf90LKdxvRqMq/Bzl1WPpzgO6i9iGl8w";
    let django = "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHRzYWx0c2FsdA$ZOENR4mIowct0i/D7z7/cUb9w3J/FgeiVJmciB2sO/g";
    let hasher = PasswordHasher::default();
    for text in [
        "$2b$31$abcdefghijklmnopqrstuuUF6lMM78hR2uUz.OcTmfbPJwiH4Nm3i".to_owned(),
        "$pbkdf2-sha256$4294967295$DWFMScl5b20NAcDY29ubcw$yRgRrpsfhmjBUbywIgcOizW94y9bLnkEi.NJ8XqRcdI"
            .to_owned(),
        scrypt.replace("ln=10", "ln=17"),
        scrypt.replace("ln=10", "ln=63"),
        scrypt.replace("p=2", "p=4294967295"),
        scrypt.replace("r=8", "r=4294967295"),
        scrypt.replace("ln=10,r=8,p=2", "ln=14,r=8,p=9"),
        django.to_owned(),
        django.replace("m=102400,t=2", "m=65536,t=5"),
    ] {
        let stored: StoredHash = text.parse().unwrap();
        assert_eq!(hasher.check_stored(&stored).unwrap_err().code(), "password_hash_too_costly", "{text}");
        let refused = hasher.verify_stored(password(PHRASE), &stored).await.unwrap_err();
        assert_eq!(refused.code(), "password_hash_too_costly", "{text}");
    }
    assert_eq!(hasher.stats().computed, 0);
    // What Django makes by default, where that much memory is allowed.
    let roomy = PasswordHasher::new(HasherOptions::default().stored_memory_kib_max(102_400));
    let stored: StoredHash = django.parse().unwrap();
    assert!(roomy.verify_stored(password(PHRASE), &stored).await.unwrap().is_match());
}

// A1
#[test]
fn a_policy_refuses_what_others_would_guess() {
    let about =
        ContextWords::new().username("margaret.h").email("maggie@acme.example").service("Harbour Ledger");
    let codes = |policy: PasswordPolicy, typed: &str| -> Vec<&str> {
        let violations = policy.check(&password(typed), &about).err().unwrap_or_default();
        violations.iter().map(stylobate_auth::PolicyViolation::code).collect()
    };
    assert!(codes(PasswordPolicy::alone(), PHRASE).is_empty());
    assert!(codes(PasswordPolicy::with_mfa(), "vK7qzLp2").is_empty());
    for typed in
        ["i like Margaret a lot", "MAGGIE-maggie-maggie", "the acme corporation", "har bour led ger 2026"]
    {
        assert_eq!(codes(PasswordPolicy::alone(), typed), ["context_word"], "{typed}");
    }
    assert_eq!(codes(PasswordPolicy::alone(), "1Q2W3E4R5T6Y7U8I9O0P"), ["common"]);
    assert_eq!(codes(PasswordPolicy::with_mfa(), "Password1"), ["common"]);
    assert_eq!(codes(PasswordPolicy::alone(), "Password1"), ["too_short", "common"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any text is a hash in canonical form or refused; none panics.
    #[test]
    fn fuzz_phc_any_text(text in ".{0,200}", tail in "[$=,a-z0-9+/A-Z]{0,120}") {
        for candidate in [text, format!("$argon2id$v=19$m={tail}"), format!("${tail}")] {
            if let Ok(hash) = candidate.parse::<PasswordHash>() {
                prop_assert_eq!(hash.expose_phc(), candidate);
            }
        }
    }

    /// Any text in a row is a hash that says so again or refused, in every format; none panics, also when its cost is asked.
    #[test]
    fn fuzz_stored_hash_any_text(
        start in "(\\$2[abxy]\\$|\\$bcrypt-sha256\\$|\\$pbkdf2(-sha(256|512))?\\$|\\$scrypt\\$|\\$argon2(id|i|d)\\$|argon2\\$|scrypt\\$|pbkdf2_sha(1|256)\\$|bcrypt(_sha256)?\\$)?",
        rest in "[$=,.a-z0-9+/A-Z]{0,120}|.{0,200}",
    ) {
        let candidate = format!("{start}{rest}");
        if let Ok(stored) = candidate.parse::<StoredHash>() {
            prop_assert_eq!(stored.expose_text(), candidate);
            let _ = PasswordHasher::default().check_stored(&stored);
        }
    }

    /// The same of texts that are nearly right.
    #[test]
    fn fuzz_stored_hash_mutations(which in 0..STORED.len(), at in 0_usize..160, cut in 0_usize..8, insert in "\\PC{0,3}|[$=,0-9]{0,12}") {
        let mut text = STORED[which].to_owned();
        let at = at.min(text.len());
        text.replace_range(at..(at + cut).min(text.len()), &insert);
        if let Ok(stored) = text.parse::<StoredHash>() {
            prop_assert_eq!(stored.expose_text(), text);
            let _ = PasswordHasher::default().check_stored(&stored);
        }
    }

    /// A valid hash with bytes changed, cut or doubled is refused or another hash in canonical form.
    #[test]
    fn fuzz_phc_mutations(at in 0_usize..97, cut in 0_usize..8, insert in "\\PC{0,3}|[$=,0-9]{0,12}") {
        let mut text = REFERENCE[0].to_owned();
        let end = (at + cut).min(text.len());
        text.replace_range(at.min(end)..end, &insert);
        if let Ok(hash) = text.parse::<PasswordHash>() {
            prop_assert_eq!(hash.expose_phc(), text);
        }
    }

    /// Whatever the numbers, what parses says so again, and the debug text shows neither salt nor output.
    #[test]
    fn fuzz_phc_numbers(m: u32, t: u32, p: u32) {
        let text = REFERENCE[0].replace("m=19456,t=2,p=1", &format!("m={m},t={t},p={p}"));
        if let Ok(hash) = text.parse::<PasswordHash>() {
            prop_assert_eq!(hash.expose_phc(), &text);
            prop_assert!(t >= 1 && p >= 1 && u64::from(m) >= 8 * u64::from(p));
            let printed = format!("{hash:?}");
            prop_assert!(!printed.contains("c2Fsd"));
        }
    }

    /// Two spellings of one text are one password; the form is stable.
    #[test]
    fn the_unicode_form_is_idempotent(typed in "\\PC{0,60}") {
        let once = password(&typed);
        let twice = Password::new(once.expose_secret());
        prop_assert!(once.expose_secret().len() > 1024 || twice.unwrap().expose_secret() == once.expose_secret());
    }
}

async fn join_all<F: Future + Send>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut is_pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
