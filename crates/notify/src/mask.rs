//! Destinations with most of them hidden: enough for people to tell theirs, too little to write to.

/// `+4…89`.
pub(crate) fn phone(number: &str) -> String {
    let chars: Vec<char> = number.chars().collect();
    let last = chars.len().saturating_sub(2);
    let begin: String = chars.iter().take(2.min(last)).collect();
    let end: String = chars.iter().skip(last.max(begin.len())).collect();
    format!("{begin}…{end}")
}

/// The host alone: paths and queries of such URLs are secrets.
pub(crate) fn url(url: &str) -> String {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    format!("{}/…", host.unwrap_or_default())
}

/// The end of something that names a chat.
pub(crate) fn chat(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    let end: String = chars.iter().skip(chars.len().saturating_sub(3)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_is_hidden() {
        assert_eq!(
            (phone("+436601234567"), phone("+1"), phone("")),
            ("+4…67".into(), "…+1".into(), "…".into())
        );
        assert_eq!(url("https://hooks.slack.com/services/T0/B0/secret?x=1"), "hooks.slack.com/…");
        assert_eq!(url("nonsense"), "/…");
        assert_eq!((chat("-1001234567"), chat("")), ("…567".into(), "…".into()));
    }
}
