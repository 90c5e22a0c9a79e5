use std::fmt::Write as _;

use super::{
    MessageFields, RequestParts, SignatureComponent, SignatureFault, SignatureInput, SignedMessage,
    component::{Flag, Source},
    message::Uncombined,
    query,
    structured::{self, Member},
};

/// The longest text that is signed, in bytes: all fields that servers take together.
const BYTES_MAX: usize = 64 * 1_024;

impl SignatureInput {
    /// The signature base: exactly the text that is signed (RFC 9421 §2.5).
    ///
    /// # Errors
    /// [`SignatureFault::ComponentUnavailable`] when the message does not have a component, or a value that cannot be signed;
    /// [`SignatureFault::BaseTooLong`] above 64 KiB.
    pub fn base(&self, message: SignedMessage<'_>) -> Result<String, SignatureFault> {
        let mut base = String::with_capacity(512);
        for component in self.components() {
            let value = value_of(component, message)?;
            if base.len() + value.len() > BYTES_MAX {
                return Err(SignatureFault::BaseTooLong);
            }
            // Writing to a text does not fail.
            let _ = writeln!(base, "{component}: {value}");
        }
        let _ = write!(base, "\"@signature-params\": {self}");
        Ok(base)
    }
}

fn value_of(component: &SignatureComponent, message: SignedMessage<'_>) -> Result<String, SignatureFault> {
    let unavailable = || SignatureFault::ComponentUnavailable(component.to_string().into());
    let request = match (message, component.is_of_request()) {
        (SignedMessage::Request(request), false) => Some(request),
        // A request has no other one that it answers.
        (SignedMessage::Request(_), true) => return Err(unavailable()),
        (SignedMessage::Response(response), true) => Some(response.request.ok_or_else(unavailable)?),
        (SignedMessage::Response(_), false) => None,
    };
    if let Source::Field(name) = component.source() {
        let fields = match (request, message) {
            (Some(request), _) | (None, SignedMessage::Request(request)) => &request.fields,
            (None, SignedMessage::Response(response)) => &response.fields,
        };
        return match field(name, component.flags(), fields) {
            Ok(value) => value.ok_or_else(unavailable),
            Err(Uncombined::TooLong) => Err(SignatureFault::BaseTooLong),
            Err(Uncombined::Malformed) => Err(unavailable()),
        };
    }
    let value = match (component.source(), request, message) {
        (Source::Status, None, SignedMessage::Response(response)) => Some(response.status)
            .filter(|status| (100..600).contains(status))
            .map(|status| status.to_string()),
        (source, Some(request), _) => derived(source, request),
        _ => None,
    };
    value.ok_or_else(unavailable)
}

/// RFC 9421 §2.2.
fn derived(source: &Source, request: &RequestParts<'_>) -> Option<String> {
    let target = request.target;
    match source {
        Source::Method => {
            let is_method = !request.method.is_empty() && request.method.bytes().all(structured::is_tchar);
            is_method.then(|| request.method.to_owned())
        }
        Source::TargetUri => Some(target.to_string()),
        Source::Authority => Some(target.authority().to_owned()),
        Source::Scheme => Some(target.scheme().to_owned()),
        Source::RequestTarget => Some(target.request_target().to_owned()),
        Source::Path => Some(target.path().to_owned()),
        Source::Query => Some(format!("?{}", target.query().unwrap_or_default())),
        Source::QueryParam(name) => query::param(target.query().unwrap_or_default(), name),
        Source::Status | Source::Field(_) => None,
    }
}

/// RFC 9421 §2.1. `None` when there is no such field, or it is not of the structure asked for.
fn field(name: &str, flags: &[Flag], fields: &MessageFields<'_>) -> Result<Option<String>, Uncombined> {
    if flags.contains(&Flag::Bytes) {
        return Ok(fields.wrapped(name));
    }
    let Some(text) = fields.combined(name, BYTES_MAX)? else { return Ok(None) };
    let key = flags.iter().find_map(|flag| match flag {
        Flag::Key(key) => Some(&**key),
        _ => None,
    });
    Ok(match key {
        Some(key) => structured::dictionary(&text)
            .and_then(|members| Some(members.into_iter().find(|(known, _)| *known == key)?.1.to_string())),
        None if flags.contains(&Flag::Strict) => strict(name, &text),
        None => Some(text),
    })
}

/// The strict text of a field whose structure is known (RFC 9421 §2.1.1): of those that standards define.
fn strict(name: &str, text: &str) -> Option<String> {
    match name {
        "accept-signature"
        | "cdn-cache-control"
        | "content-digest"
        | "priority"
        | "repr-digest"
        | "signature"
        | "signature-input"
        | "want-content-digest"
        | "want-repr-digest" => Some(structured::dictionary_text(&structured::dictionary(text)?)),
        "accept-ch" | "cache-status" | "client-cert-chain" | "proxy-status" => {
            Some(structured::list_text(&structured::list(text)?))
        }
        "capsule-protocol" | "client-cert" => Some(Member::Item(structured::item(text)?).to_string()),
        _ => None,
    }
}
