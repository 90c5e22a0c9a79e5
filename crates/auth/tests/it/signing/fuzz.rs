//! Signatures under arbitrary input. `cargo xtask fuzz` runs the same properties for longer (`PROPTEST_CASES`).

use proptest::prelude::*;
use stylobate_auth::{ContentDigest, SignatureComponent, SignatureInput};

use super::*;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Values that a client can send.
fn field_value() -> impl Strategy<Value = String> {
    "[ -~]{0,40}"
}

fn path_and_query() -> impl Strategy<Value = String> {
    r"(/[!$-;=@-_a-z~%]{0,12}){1,3}(\?[!$-;=?@-_a-z~%]{0,20})?"
}

fn message() -> impl Strategy<Value = Message> {
    (
        prop_oneof![Just("GET"), Just("POST"), Just("DELETE"), Just("patch")],
        path_and_query(),
        prop::collection::vec(("x-[a-c]", field_value()), 0..4),
        prop::collection::vec(any::<u8>(), 0..200),
    )
        .prop_map(|(method, path_and_query, fields, body)| Message {
            method: method.to_owned(),
            target: TargetUri::new("https", "billing.example.test", &path_and_query).unwrap(),
            fields: fields.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
            body,
        })
}

proptest! {
    #[test]
    fn fuzz_signature_what_is_signed_is_accepted_once(
        message in message(), algorithm in prop::sample::select(vec![
            SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Hs256,
        ]),
    ) {
        let pair = Pair::with(algorithm, RequestVerifierConfig::default());
        let message = message.signed_by(&pair.signer, now());
        block_on(async {
            prop_assert!(pair.verify(&message).await.is_ok());
            let again = pair.verify(&message).await;
            prop_assert!(again.is_err_and(|again| again.code() == "request_replayed"));
            Ok(())
        })?;
    }

    /// Whatever byte of what is covered is another one: it is refused.
    #[test]
    fn fuzz_signature_any_changed_covered_byte_is_refused(
        message in message(), place in any::<prop::sample::Index>(), what in 0..5_u8, flip in 1..=255_u8,
    ) {
        let pair = Pair::new();
        let value = b"covered".to_vec();
        let mut message = Message { fields: vec![("x-covered".to_owned(), value)], ..message };
        let covering = SignatureComponent::field("x-covered").unwrap();
        message = message.signed_by(&pair.signer.clone().covering(covering), now());
        let before = message.clone();
        let flip_in = |bytes: &mut [u8]| {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] ^= flip;
            }
        };
        match what {
            0 => flip_in(&mut message.body),
            1 => {
                let mut method = message.method.clone().into_bytes();
                flip_in(&mut method);
                message.method = String::from_utf8(method).unwrap_or_else(|_| "OTHER".to_owned());
            }
            2 => {
                let mut path = message.target.to_string().trim_start_matches("https://billing.example.test").as_bytes().to_vec();
                flip_in(&mut path);
                let path = String::from_utf8(path).unwrap_or_default();
                let Ok(target) = TargetUri::new("https", "billing.example.test", &path) else { return Ok(()) };
                message.target = target;
            }
            3 => flip_in(&mut message.fields[0].1),
            _ => {
                let digest = message.fields.iter_mut().find(|(name, _)| name == "content-digest").unwrap();
                flip_in(&mut digest.1);
            }
        }
        let is_same = before.body == message.body && before.method == message.method
            && before.target == message.target && before.fields == message.fields;
        // Spaces around a value are no part of it, and neither are those between members of a structured field.
        let trimmed = |message: &Message| -> Vec<Vec<u8>> {
            message.fields.iter().map(|(_, value)| value.trim_ascii().to_vec()).collect()
        };
        let is_same = is_same || (what == 3 && trimmed(&before) == trimmed(&message));
        prop_assert_eq!(block_on(pair.verify(&message)).is_ok(), is_same, "{:?}", message);
    }

    /// Any other text in the fields of the signature itself.
    #[test]
    fn fuzz_signature_any_flipped_bit_of_its_fields_changes_who_or_nothing(
        place in any::<prop::sample::Index>(), bit in 0..8_u32, which in 0..2_u8,
    ) {
        let pair = Pair::new();
        let mut message = pair.signed();
        let name = if which == 0 { "signature" } else { "signature-input" };
        let field = message.fields.iter_mut().find(|(known, _)| known == name).unwrap();
        let place = place.index(field.1.len());
        field.1[place] ^= 1 << bit;
        let is_label = place < "sig1".len();
        let verified = block_on(pair.verify(&message));
        // The label names nothing that is signed, but has to be the same in both fields.
        prop_assert!(verified.is_err(), "{name} {place} {bit} {is_label}");
    }

    #[test]
    fn fuzz_signature_arbitrary_fields_are_refused_without_panic(
        input in any::<Vec<u8>>(), signature in any::<Vec<u8>>(), digest in any::<Vec<u8>>(),
    ) {
        let pair = Pair::new();
        let mut message = Message::post("/", "{}");
        message.fields.push(("signature-input".to_owned(), input));
        message.fields.push(("signature".to_owned(), signature));
        message.fields.push(("content-digest".to_owned(), digest));
        prop_assert!(block_on(pair.verify(&message)).is_err());
    }

    #[test]
    fn fuzz_signature_nearly_sound_inputs_are_read_as_they_are_written(
        text in r#"\(("(@method|@query-param|content-digest|a)"(;(sf|bs|req|key="a"|name="b%20"))? ?){0,4}\)(;(created=1|nonce="n"|keyid="k"|alg="a"|tag="\\""|expires=2|x)){0,4}"#,
    ) {
        if let Ok(input) = SignatureInput::parse(&text) {
            let written = input.to_string();
            prop_assert_eq!(SignatureInput::parse(&written), Ok(input));
        }
    }

    #[test]
    fn fuzz_signature_arbitrary_texts_never_panic(text in any::<String>(), authority in any::<String>()) {
        let _ = SignatureInput::parse(&text);
        let _ = ContentDigest::parse(&text);
        let _ = text.parse::<SignatureComponent>();
        if let Ok(target) = TargetUri::new("https", &authority, &text) {
            // What is accepted is normal already.
            let path = format!("{}{}", target.path(), target.query().map(|query| format!("?{query}")).unwrap_or_default());
            prop_assert_eq!(TargetUri::new("https", target.authority(), &path), Ok(target));
        }
    }
}
