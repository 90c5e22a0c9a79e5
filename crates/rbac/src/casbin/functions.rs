//! The functions that matchers may call, in place of casbin's own: bounded, and without panics.
//!
//! casbin's compile each pattern at every call without an effective bound, panic on one that does not compile and on text
//! outside ASCII, and take everything in a path pattern for a regular expression, so that `/a.b` also matches `/axb`.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use ::casbin::{
    CoreApi as _, Enforcer,
    function_map::{OperatorFunction, dynamic_to_str},
    rhai::Dynamic,
};
use regex::{Regex, RegexBuilder};

use super::{CasbinRules, matcher::Pattern};

/// The most memory a compiled pattern takes. A counted repetition of a hundred characters fits, of a million does not.
const REGEX_BYTES_MAX: usize = 64 * 1024;
/// How many compiled patterns each thread remembers.
const REMEMBERED_MAX: usize = 512;

/// Puts ours in the place of casbin's.
pub(super) fn register(enforcer: &mut Enforcer) {
    enforcer.add_function(
        "keyMatch",
        OperatorFunction::Arg2(|text, pattern| on_texts(&text, &pattern, prefix_match)),
    );
    for name in ["keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5"] {
        // What differs between the four is how placeholders are written, and that `keyMatch4` repeats them.
        let function = match name {
            "keyMatch2" => OperatorFunction::Arg2(|text, pattern| on_texts(&text, &pattern, key_match2)),
            "keyMatch3" => OperatorFunction::Arg2(|text, pattern| on_texts(&text, &pattern, key_match3)),
            "keyMatch4" => OperatorFunction::Arg2(|text, pattern| on_texts(&text, &pattern, key_match4)),
            _ => OperatorFunction::Arg2(|text, pattern| on_texts(&text, &pattern, key_match5)),
        };
        enforcer.add_function(name, function);
    }
    enforcer.add_function(
        "regexMatch",
        OperatorFunction::Arg2(|text, pattern| on_texts(&text, &pattern, regex_match)),
    );
}

pub(super) fn on_texts(text: &Dynamic, pattern: &Dynamic, matches: fn(&str, &str) -> bool) -> Dynamic {
    matches(&dynamic_to_str(text), &dynamic_to_str(pattern)).into()
}

/// Whether `value` can be used as a pattern of this kind.
pub(super) fn is_pattern_sound(pattern: Pattern, value: &str) -> bool {
    match pattern {
        Pattern::Prefix => value.find('*').is_none_or(|star| star + 1 == value.len()),
        Pattern::Path => is_path_pattern(value),
        Pattern::Regex => compiled(value).is_some(),
    }
}

/// Literal segments, segments with one placeholder, and a star as the last one. The rest of what casbin would take for a
/// regular expression matches differently here, so that it is not taken at all.
fn is_path_pattern(value: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'@' | b'=' | b'/' | b':' | b'{' | b'}')
    };
    let body = value.strip_suffix("/*").unwrap_or(value);
    body.bytes().all(plain)
        && body.split('/').all(|segment| {
            segment.matches([':', '{']).count() <= 1
                && segment
                    .find('{')
                    .is_none_or(|open| segment.rfind('}').is_some_and(|close| open + 1 < close))
                && segment.contains('{') == segment.contains('}')
        })
}

/// Whether a star at the end of a prefix stands for whole segments: `/a/*` and `a.*` do not match `/ab` or `ab.c`, `/a*` would.
pub(super) fn star_is_whole(value: &str) -> bool {
    match value.strip_suffix('*') {
        Some(prefix) => prefix.is_empty() || prefix.ends_with(['/', '.', ':']),
        None => true,
    }
}

/// Whether a text may be matched with patterns of paths: one that a router would read differently may not.
pub(super) fn is_plain_path(text: &str) -> bool {
    !text.contains(['%', '\\', ';', '#'])
        && !text.contains("//")
        && !text.split('/').any(|segment| matches!(segment, "." | ".."))
}

fn prefix_match(text: &str, pattern: &str) -> bool {
    match pattern.find('*') {
        Some(star) => {
            let prefix = pattern.as_bytes().get(..star).unwrap_or_default();
            text.as_bytes().starts_with(prefix)
        }
        None => text == pattern,
    }
}

fn key_match2(text: &str, pattern: &str) -> bool {
    path_match(text, pattern, Placeholder::Colon)
}

fn key_match3(text: &str, pattern: &str) -> bool {
    path_match(text, pattern, Placeholder::Braces)
}

fn key_match4(text: &str, pattern: &str) -> bool {
    path_match(text, pattern, Placeholder::Repeated)
}

fn key_match5(text: &str, pattern: &str) -> bool {
    let path = text.split('?').next().unwrap_or_default();
    path_match(path, pattern, Placeholder::Braces)
}

fn regex_match(text: &str, pattern: &str) -> bool {
    compiled(pattern).is_some_and(|regex| regex.is_match(text))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    /// `:name`, up to the next slash.
    Colon,
    /// `{name}`.
    Braces,
    /// `{name}`, which stands for the same text wherever it stands.
    Repeated,
}

/// Segment by segment: a placeholder stands for one or more characters other than a slash, `*` behind a slash for
/// everything that follows.
fn path_match(text: &str, pattern: &str, placeholder: Placeholder) -> bool {
    let mut bound: Vec<(&str, &str)> = Vec::new();
    let (mut texts, mut patterns) = (text.split('/'), pattern.split('/'));
    loop {
        match (texts.next(), patterns.next()) {
            (None, None) => return true,
            // `/a/*` matches `/a/` and everything below, as in casbin.
            (Some(_), Some("*")) if patterns.clone().next().is_none() => return true,
            (Some(text), Some(pattern)) => {
                if !segment_match(text, pattern, placeholder, &mut bound) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

fn segment_match<'a>(
    text: &'a str,
    pattern: &'a str,
    placeholder: Placeholder,
    bound: &mut Vec<(&'a str, &'a str)>,
) -> bool {
    let hole = match placeholder {
        Placeholder::Colon => pattern.split_once(':').map(|(before, name)| (before, name, "")),
        Placeholder::Braces | Placeholder::Repeated => pattern
            .split_once('{')
            .and_then(|(before, rest)| rest.rsplit_once('}').map(|(name, after)| (before, name, after))),
    };
    let Some((before, name, after)) = hole else { return text == pattern };
    let Some(value) = text.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) else {
        return false;
    };
    if value.is_empty() {
        return false;
    }
    if placeholder == Placeholder::Repeated {
        if let Some((_, known)) = bound.iter().find(|(known, _)| *known == name) {
            return *known == value;
        }
        bound.push((name, value));
    }
    true
}

thread_local! {
    /// casbin asks for the same few patterns at every question.
    static REMEMBERED: RefCell<HashMap<String, Option<Arc<Regex>>>> = RefCell::new(HashMap::new());
}

fn compiled(pattern: &str) -> Option<Arc<Regex>> {
    if pattern.len() > CasbinRules::VALUE_MAX {
        return None;
    }
    REMEMBERED.with_borrow_mut(|remembered| {
        if let Some(known) = remembered.get(pattern) {
            return known.clone();
        }
        let built = RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(32)
            .build();
        let regex = built.ok().map(Arc::new);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(pattern.to_owned(), regex.clone());
        regex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_as_casbin_documents() {
        for (text, pattern) in [
            ("/foo/bar", "/foo/*"),
            ("/foo/", "/foo/*"),
            ("/resource1", "/:resource"),
            ("/a/b/c", "/a/:id/c"),
            ("/a/b/c", "/a/*"),
        ] {
            assert!(key_match2(text, pattern), "{text} {pattern}");
            assert!(::casbin::function_map::key_match2(text, pattern));
        }
        for (text, pattern) in [("/foo", "/foo/*"), ("/a/b", "/:id"), ("/", "/:id"), ("/b/a/c", "/a/*")] {
            assert!(!key_match2(text, pattern), "{text} {pattern}");
            assert!(!::casbin::function_map::key_match2(text, pattern));
        }
        assert!(key_match3("/proxy/x/res", "/proxy/{id}/*") && !key_match3("/proxy/", "/proxy/{id}/*"));
        assert!(key_match4("/parent/1/child/1", "/parent/{id}/child/{id}"));
        assert!(!key_match4("/parent/1/child/2", "/parent/{id}/child/{id}"));
        assert!(key_match5("/foo/bar?a=1", "/foo/{x}"));
    }

    #[test]
    fn look_alikes_do_not_match() {
        // A11, C22: casbin takes the point for any character.
        assert!(::casbin::function_map::key_match2("/axb", "/a.b") && !key_match2("/axb", "/a.b"));
        assert!(
            !star_is_whole("/admin*")
                && star_is_whole("/admin/*")
                && star_is_whole("*")
                && star_is_whole("user.*")
        );
        for path in ["/a/../b", "/a/./b", "//a", "/a%2fb", "/a\\b", "/a;x=1", ".."] {
            assert!(!is_plain_path(path), "{path}");
        }
        assert!(is_plain_path("/a/b.c") && is_plain_path("user.read"));
    }

    #[test]
    fn patterns_that_casbin_panics_on_match_nothing() {
        // A11, C42
        let hungry = format!("{}{}", "(a{1000})".repeat(20), "{1000}");
        for pattern in ["/a/*/b", "/a(b|c)", "/{a}_{b}", "/a*", "/{}", "/}a{", "/[a-z]"] {
            assert!(!is_pattern_sound(Pattern::Path, pattern), "{pattern}");
        }
        for pattern in ["/*", "/a/:id/*", "/a/{id}", "/a/x_{id}.json", "/"] {
            assert!(is_pattern_sound(Pattern::Path, pattern), "{pattern}");
        }
        for pattern in ["(", "[", "a{99999999}", hungry.as_str(), &"(".repeat(400)] {
            assert!(!is_pattern_sound(Pattern::Regex, pattern), "{pattern:.20}");
            assert!(!regex_match("a", pattern));
        }
        assert!(regex_match("GET", "^(GET|POST)$") && !regex_match("PUT", "^(GET|POST)$"));
        assert!(!prefix_match("ä", "aa*") && !prefix_match("日本", "a*") && key_match2("/ä", "/:id"));
    }

    #[test]
    fn no_more_patterns_are_remembered_than_said() {
        for n in 0..2 * REMEMBERED_MAX {
            assert!(compiled(&format!("a{n}")).is_some());
        }
        assert!(REMEMBERED.with_borrow(HashMap::len) <= REMEMBERED_MAX);
    }
}
