//! The grammar of matchers: comparisons of texts and calls of known functions, joined by `&&`, `||` and `!`.
//!
//! casbin hands the matcher to an interpreter that knows loops, `eval` and much else and has its limits switched off, so
//! what is not in this grammar does not get there. Nothing is translated: the text that passes is the text that runs.

use super::CasbinInvalid;

/// The longest matcher, about ten times the longest in casbin's own examples.
const BYTES_MAX: usize = 2_048;
/// The deepest nesting; the interpreter recurses once or twice per level.
const DEPTH_MAX: usize = 16;
/// The most comparisons and calls.
const TERMS_MAX: usize = 64;

/// What kind of pattern a function takes as second argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// A prefix and a star.
    Prefix,
    /// A path with `*` and placeholders.
    Path,
    /// A regular expression.
    Regex,
}

/// The functions that match a text with a pattern. Each takes two arguments.
pub(super) const MATCHING: [(&str, Pattern); 6] = [
    ("keyMatch", Pattern::Prefix),
    ("keyMatch2", Pattern::Path),
    ("keyMatch3", Pattern::Path),
    ("keyMatch4", Pattern::Path),
    ("keyMatch5", Pattern::Path),
    ("regexMatch", Pattern::Regex),
];

/// What names mean in a matcher.
pub(super) struct ModelNames<'a> {
    pub(super) request: &'a [String],
    pub(super) rule: &'a [String],
    /// How many arguments `g` takes.
    pub(super) role_places: Option<usize>,
    /// A function of two arguments that takes no pattern, for the model of native roles.
    pub(super) own: Option<&'static str>,
}

/// What a matcher does with the values of requests and rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// The places of rules that are patterns.
    pub(super) patterns: Vec<(usize, Pattern)>,
    /// The places of requests that are matched with patterns of paths.
    pub(super) paths: Vec<usize>,
}

/// Checks that `text` is in the grammar.
pub(super) fn check(text: &str, names: &ModelNames<'_>) -> Result<Uses, CasbinInvalid> {
    if text.len() > BYTES_MAX || !text.is_ascii() {
        return Err(CasbinInvalid::Matcher { at: 0, why: "a shorter text in ASCII" });
    }
    let mut parser = Parser { text, at: 0, terms: 0, names, uses: Uses::default() };
    parser.alternatives(0)?;
    parser.space();
    if parser.at < text.len() { parser.refuse("the end, `&&` or `||`") } else { Ok(parser.uses) }
}

enum Operand {
    Request(usize),
    Rule(usize),
    Text,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    terms: usize,
    names: &'a ModelNames<'a>,
    uses: Uses,
}

impl<'a> Parser<'a> {
    fn refuse<T>(&self, why: &'static str) -> Result<T, CasbinInvalid> {
        Err(CasbinInvalid::Matcher { at: self.at, why })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), CasbinInvalid> {
        if depth > DEPTH_MAX {
            return self.refuse("less nesting");
        }
        loop {
            self.term(depth)?;
            if !self.take("&&") && !self.take("||") {
                return Ok(());
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<(), CasbinInvalid> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return self.refuse("fewer comparisons");
        }
        // `!=` is no negation.
        if !self.rest().trim_start().starts_with("!=") && self.take("!") {
            self.space();
            if self.rest().starts_with('!') {
                return self.refuse("one negation");
            }
        }
        if self.take("(") {
            self.alternatives(depth + 1)?;
            return self.expect(")");
        }
        self.space();
        let before = self.at;
        let word = self.word();
        self.space();
        if !word.is_empty() && self.rest().starts_with('(') {
            return self.call(word, before);
        }
        self.at = before;
        self.operand()?;
        if !self.take("==") && !self.take("!=") {
            return self.refuse("`==` or `!=`");
        }
        self.operand()?;
        Ok(())
    }

    fn expect(&mut self, token: &'static str) -> Result<(), CasbinInvalid> {
        if self.take(token) { Ok(()) } else { self.refuse(token) }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.at += word.len();
        word
    }

    fn call(&mut self, name: &str, name_at: usize) -> Result<(), CasbinInvalid> {
        self.expect("(")?;
        let mut arguments = vec![self.operand()?];
        while self.take(",") {
            if arguments.len() > 3 {
                return self.refuse("fewer arguments");
            }
            arguments.push(self.operand()?);
        }
        self.expect(")")?;
        let pattern = MATCHING.iter().find(|(known, _)| *known == name).map(|(_, pattern)| *pattern);
        let places = match pattern {
            Some(_) => Some(2),
            None if name == "g" => self.names.role_places,
            None if self.names.own == Some(name) => Some(2),
            None => None,
        };
        let Some(places) = places else {
            self.at = name_at;
            return self.refuse("`g` as it is defined, `keyMatch` to `keyMatch5` or `regexMatch`");
        };
        if places != arguments.len() {
            return self.refuse("as many arguments as the function takes");
        }
        if let (Some(pattern), [text, second]) = (pattern, arguments.as_slice()) {
            match second {
                Operand::Rule(place) => self.uses.patterns.push((*place, pattern)),
                // What a caller sends is never a pattern. A literal could be, but would escape the checks of rules.
                Operand::Request(_) | Operand::Text => return self.refuse("a value of the rule as pattern"),
            }
            if let Operand::Request(place) = text {
                self.uses.paths.push(*place);
            }
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<Operand, CasbinInvalid> {
        self.space();
        if self.rest().starts_with('"') {
            return self.literal();
        }
        let whose = self.word();
        let place = |names: &[String], name: &str| names.iter().position(|known| known == name);
        if !self.rest().starts_with('.') {
            return self.refuse("`r.`, `p.` or a text in quotation marks");
        }
        self.at += 1;
        let name = self.word();
        let found = match whose {
            "r" => place(self.names.request, name).map(Operand::Request),
            "p" => place(self.names.rule, name).map(Operand::Rule),
            _ => None,
        };
        match found {
            Some(operand) => Ok(operand),
            None => self.refuse("a name of the request or rule definition"),
        }
    }

    /// Characters that neither the interpreter nor casbin's own rewriting of `r.` and `#` takes for anything else.
    fn literal(&mut self) -> Result<Operand, CasbinInvalid> {
        self.at += 1;
        let rest = self.rest();
        let Some(end) = rest.find('"') else { return self.refuse("a closing quotation mark") };
        let text = rest.get(..end).unwrap_or_default();
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'/' | b'@');
        if text.is_empty() || !text.bytes().all(plain) {
            return self.refuse("a text of letters, digits and _ - : / @");
        }
        self.at += end + 1;
        Ok(Operand::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn try_with(text: &str) -> Result<Uses, CasbinInvalid> {
        let (request, rule) =
            (names(&["sub", "dom", "obj", "act"]), names(&["sub", "dom", "obj", "act", "eft"]));
        check(text, &ModelNames { request: &request, rule: &rule, role_places: Some(3), own: None })
    }

    #[test]
    fn the_matchers_of_the_field_pass() {
        for text in [
            "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act",
            "r.sub == p.sub && keyMatch2(r.obj, p.obj) && regexMatch(r.act, p.act) || r.sub == \"root\"",
            "!(r.sub != p.sub) && (r.act == p.act || p.act == \"any\")",
        ] {
            assert!(try_with(text).is_ok(), "{text}: {:?}", try_with(text));
        }
        let uses = try_with("keyMatch2(r.obj, p.obj) && regexMatch(r.act, p.act)").unwrap();
        assert_eq!(uses.patterns, [(2, Pattern::Path), (3, Pattern::Regex)]);
        assert_eq!(uses.paths, [2, 3]);
    }

    #[test]
    fn everything_else_is_refused() {
        // C23: policy text never runs. C42: what a caller sends is never a pattern.
        let (deep, long) = (format!("{}r.sub == p.sub{}", "(".repeat(40), ")".repeat(40)), " ".repeat(3_000));
        let many = vec!["r.sub == p.sub"; 100].join(" && ");
        for text in [
            "",
            "eval(p.sub)",
            "eval (p.act) && r.sub == p.sub",
            "r.sub == p.sub; loop {}",
            "r.sub",
            "true",
            "r.sub.age == p.sub",
            "r.nobody == p.sub",
            "r2.sub == p.sub",
            "g(r.sub, p.sub)",
            "g(r.sub, p.sub, r.dom, r.dom)",
            "g2(r.sub, p.sub, r.dom)",
            "keyMatch(r.obj)",
            "keyMatch(r.obj, r.sub)",
            "regexMatch(r.obj, \"a\")",
            "keyGet3(r.obj, p.obj)",
            "ipMatch(r.obj, p.obj)",
            "r.sub == \"a\\\"b\"",
            "r.sub == \"${p.sub}\"",
            "r.sub == `a`",
            "r.sub == \"a",
            "r.sub == p.sub &&",
            "r.sub == p.sub # || true",
            "r.sub == p.sub)",
            "!!(r.sub == p.sub)",
            "r.sub > p.sub",
            "r.sub in p.sub",
            "r.sub == p.süb",
            deep.as_str(),
            long.as_str(),
            many.as_str(),
        ] {
            assert!(matches!(try_with(text), Err(CasbinInvalid::Matcher { .. })), "{text:.60}");
        }
    }
}
