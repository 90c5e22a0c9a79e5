//! What two lists of limits have in common.
//!
//! A scope is a name, or a pattern that ends in `*` after a `.` or `:` and covers every name with that beginning; `*`
//! alone covers everything. That is how permissions are granted, so a limit in a token is read as a grant is.

/// Keeps what both lists allow, in the order of the first. A pattern and a name it covers have the name in common.
pub(crate) fn common(left: &[String], right: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for one in left {
        for other in right {
            let narrower = match (covers(one, other), covers(other, one)) {
                (true, _) => other,
                (false, true) => one,
                (false, false) => continue,
            };
            if !kept.contains(narrower) {
                kept.push(narrower.clone());
            }
        }
    }
    kept
}

/// Whether `held` allows all that `name`, itself a name or a pattern, stands for.
pub(crate) fn covers(held: &str, name: &str) -> bool {
    match held.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with(['.', ':']) && name.len() > prefix.len() && name.starts_with(prefix),
        None => held == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn only_what_both_allow_is_kept() {
        for (left, right, kept) in [
            (&["a", "b"][..], &["b", "c"][..], &["b"][..]),
            (&["*"], &["a", "b.*"], &["a", "b.*"]),
            (&["a.*"], &["*"], &["a.*"]),
            (&["a.*", "b"], &["a.x", "a.y.*", "b.c"], &["a.x", "a.y.*"]),
            (&["a.*"], &["a", "ab.c"], &[]),
            (&["a*"], &["ab"], &[]),
            (&["a", "a"], &["a"], &["a"]),
            (&[], &["*"], &[]),
        ] {
            assert_eq!(common(&of(left), &of(right)), of(kept), "{left:?} {right:?}");
            let mut back = common(&of(right), &of(left));
            back.sort_unstable();
            assert_eq!(back, of(kept), "{right:?} {left:?}");
        }
    }
}
