use std::{borrow::Cow, fmt::Write as _};

use super::{
    MessageFields, RequestParts, SignatureComponent, SignatureFault, SignatureInput, SignedMessage,
    component::{Flag, Source},
    message::Uncombined,
    query,
    structured::{self, Member},
};

/// The longest text that is signed, in bytes: all fields that servers take together.
const BYTES_MAX: usize = 64 * 1_024;
/// Room for most of them.
const CAPACITY: usize = 512;

impl SignatureInput<'_> {
    /// The signature base: exactly the text that is signed (RFC 9421 §2.5).
    ///
    /// # Errors
    /// [`SignatureFault::ComponentUnavailable`] when the message does not have a component, or a value that cannot be signed;
    /// [`SignatureFault::BaseTooLong`] above 64 KiB.
    pub fn base(&self, message: SignedMessage<'_>) -> Result<String, SignatureFault> {
        let mut base = String::with_capacity(CAPACITY);
        for component in self.components() {
            let line = base.len();
            // Writing to a text does not fail, here and below.
            let _ = component.write(&mut base);
            base.push_str(": ");
            let value = base.len();
            push_value(&mut base, component, message)?;
            if line + (base.len() - value) > BYTES_MAX {
                return Err(SignatureFault::BaseTooLong);
            }
            base.push('\n');
        }
        base.push_str("\"@signature-params\": ");
        let _ = self.write(&mut base);
        Ok(base)
    }
}

/// Appends what `component` is in `message`.
fn push_value(
    out: &mut String,
    component: &SignatureComponent,
    message: SignedMessage<'_>,
) -> Result<(), SignatureFault> {
    let unavailable = || SignatureFault::ComponentUnavailable(component.to_string().into());
    let request = match (message, component.is_of_request()) {
        (SignedMessage::Request(request), false) => Some(request),
        // A request has no other one that it answers.
        (SignedMessage::Request(_), true) => return Err(unavailable()),
        (SignedMessage::Response(response), true) => Some(response.request.ok_or_else(unavailable)?),
        (SignedMessage::Response(_), false) => None,
    };
    let pushed = match (component.source(), request, message) {
        (Source::Field(name), Some(request), _) => push_field(out, name, component.flags(), &request.fields),
        (Source::Field(name), None, SignedMessage::Response(response)) => {
            push_field(out, name, component.flags(), &response.fields)
        }
        (Source::Status, None, SignedMessage::Response(response)) => Ok(push_status(out, response.status)),
        (source, Some(request), _) => Ok(push_derived(out, source, request)),
        _ => Ok(None),
    };
    match pushed {
        Ok(pushed) => pushed.ok_or_else(unavailable),
        Err(Uncombined::TooLong) => Err(SignatureFault::BaseTooLong),
        Err(Uncombined::Malformed) => Err(unavailable()),
    }
}

/// RFC 9421 §2.2.9.
fn push_status(out: &mut String, status: u16) -> Option<()> {
    (100..600).contains(&status).then_some(())?;
    write!(out, "{status}").ok()
}

/// RFC 9421 §2.2.
fn push_derived(out: &mut String, source: &Source, request: &RequestParts<'_>) -> Option<()> {
    let target = request.target;
    match source {
        Source::Method => {
            let is_method = !request.method.is_empty() && request.method.bytes().all(structured::is_tchar);
            is_method.then(|| out.push_str(request.method))?;
        }
        Source::TargetUri => target.write(out).ok()?,
        Source::Authority => out.push_str(target.authority()),
        Source::Scheme => out.push_str(target.scheme()),
        Source::RequestTarget => out.push_str(target.request_target()),
        Source::Path => out.push_str(target.path()),
        Source::Query => {
            out.push('?');
            out.push_str(target.query().unwrap_or_default());
        }
        Source::QueryParam(name) => out.push_str(&query::param(target.query().unwrap_or_default(), name)?),
        Source::Status | Source::Field(_) => return None,
    }
    Some(())
}

/// RFC 9421 §2.1. `None` when there is no such field, or it is not of the structure asked for.
fn push_field(
    out: &mut String,
    name: &str,
    flags: &[Flag],
    fields: &MessageFields<'_>,
) -> Result<Option<()>, Uncombined> {
    if flags.contains(&Flag::Bytes) {
        return Ok(fields.wrapped(name).map(|text| out.push_str(&text)));
    }
    let Some(text) = fields.combined(name, BYTES_MAX)? else { return Ok(None) };
    let key = flags.iter().find_map(|flag| match flag {
        Flag::Key(key) => Some(&**key),
        _ => None,
    });
    let text = match key {
        Some(key) => structured::dictionary(&text)
            .and_then(|members| members.take(key))
            .map(|member| member.to_string().into()),
        None if flags.contains(&Flag::Strict) => strict(name, &text).map(Cow::Owned),
        None => Some(text),
    };
    Ok(text.map(|text| out.push_str(&text)))
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
