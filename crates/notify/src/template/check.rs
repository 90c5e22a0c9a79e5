//! What a template may be, decided on its text.
//!
//! Templates of tenants are input that becomes code (ASVS 1.3.7), so this reads a small language that has less than the engine's, in
//! a way that cannot disagree with the engine about where an expression ends:
//!
//! 1. Outputs `{{ … }}`, the statements `if`, `elif`, `else`, `for` and their ends, comments. No variables of its own, no macros, no
//!    includes, no raw blocks.
//! 2. Expressions have names, texts in quotes, numbers, comparisons, the filters of the list and the function `link`; no braces, no
//!    arithmetic, no repetition or concatenation of texts, no methods. So no output is longer than template and values make it.
//!    And none is long enough to use up the stack of whoever reads it.
//! 3. No address of its own, and nothing that mail programs take for one: no `://`, `//evil`, `www.` or `mailto:` in a text, in HTML
//!    `href` is one `link(…)` or the product's address and entities are those of the list, and what was rendered is looked through
//!    once more, for an address may be put together of pieces.
//! 4. HTML has the tags and attributes of the lists, whose values are quoted and, but for `href`, without templates in them.

use super::{
    Part,
    environment::{FILTERS, Fault, TESTS},
};
use crate::plain;

/// How long a part may be, in bytes.
const SOURCE_BYTES_MAX: usize = 32 * 1_024;
/// How long a subject may be, in bytes.
const SUBJECT_BYTES_MAX: usize = 512;

/// How many words an expression may have, and how many `elif` a part: the engine reads both by calling itself, and none of its own
/// limits keeps it from using up the stack.
const WORDS_MAX: usize = 64;
const ELIFS_MAX: usize = 32;

const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

const TAGS: [&str; 33] = [
    "a",
    "b",
    "blockquote",
    "body",
    "br",
    "code",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "head",
    "hr",
    "html",
    "i",
    "li",
    "ol",
    "p",
    "pre",
    "small",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "title",
    "tr",
    "u",
    "ul",
    "center",
];

const ATTRIBUTES: [&str; 14] = [
    "align",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "class",
    "colspan",
    "dir",
    "height",
    "lang",
    "role",
    "rowspan",
    "style",
    "width",
];

const ENTITIES: [&str; 12] = [
    "&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&nbsp;", "&copy;", "&ndash;", "&mdash;", "&hellip;",
    "&middot;", "&bull;",
];

const FOREIGN: &str = "it has an address of its own; use link('/path')";

/// Holds one part against the rules.
pub(super) fn source(part: Part, text: &str) -> Result<(), Fault> {
    let most = if part == Part::Subject { SUBJECT_BYTES_MAX } else { SOURCE_BYTES_MAX };
    if text.len() > most {
        return Err(fault(1, format!("it has more than {most} bytes")));
    }
    let is_odd = |c: char| plain::is_unseen(c) && (part == Part::Subject || !matches!(c, '\n' | '\r' | '\t'));
    if let Some(at) = text.find(is_odd) {
        return Err(fault(line_at(text, at), "it has a control or direction character, or a second line"));
    }
    // The engine is given `\n` for `\r\n`; an `\r` that went away between two braces would make them one sign.
    if let Some(at) = text.replace("\r\n", "\n\n").find('\r') {
        return Err(fault(line_at(text, at), "it has a control or direction character, or a second line"));
    }
    let pieces = pieces(text)?;
    for (line, piece) in &pieces {
        let Piece::Text(words) = piece else { continue };
        if let Some(at) = address(words) {
            return Err(fault(line + line_at(words, at) - 1, FOREIGN));
        }
        if part == Part::Html
            && let Some(at) = words.match_indices('&').map(|(at, _)| at).find(|at| !is_entity(words, *at))
        {
            let problem = format!("& begins nothing but {}; write it as &amp;", ENTITIES.join(", "));
            return Err(fault(line + line_at(words, at) - 1, problem));
        }
    }
    if part == Part::Html { html(&pieces) } else { Ok(()) }
}

/// Holds what was rendered against the third rule: every address in it is below `base`.
pub(super) fn output(part: Part, rendered: &str, base: &str) -> Result<(), Fault> {
    let escaped = part == Part::Html && rendered.contains("&#x2f;");
    let rendered = if escaped { &rendered.replace("&#x2f;", "/") } else { rendered };
    let scheme = base.find("://").unwrap_or_default();
    for (at, _) in rendered.match_indices("://") {
        let rest = at.checked_sub(scheme).and_then(|begin| rendered.get(begin..)?.strip_prefix(base));
        if !rest.is_some_and(ends_the_host) {
            return Err(fault(line_at(rendered, at), FOREIGN));
        }
    }
    Ok(())
}

/// Where something begins that a mail program, or whoever reads HTML, would follow.
fn address(words: &str) -> Option<usize> {
    let lower = words.to_ascii_lowercase();
    let hosts = lower
        .match_indices("//")
        .filter(|(at, _)| lower.get(at + 2..).is_some_and(|rest| rest.starts_with(char::is_alphanumeric)))
        .map(|(at, _)| at);
    let schemes = ["://", "www.", "mailto:", "tel:"].into_iter().filter_map(|start| lower.find(start));
    hosts.chain(schemes).min()
}

/// Whether the `&` there is of an entity of the list. With any other a text is not what it looks like here.
fn is_entity(words: &str, at: usize) -> bool {
    words.get(at..).is_some_and(|rest| ENTITIES.iter().any(|entity| rest.starts_with(entity)))
}

/// Whether what follows a host is not more of it: no port, no further label, no `@` that makes the host a name.
fn ends_the_host(rest: &str) -> bool {
    let mut rest = rest.chars();
    match rest.next() {
        None | Some('/' | '?' | '#' | '<' | '>' | '"' | '\'' | ')' | ']') => true,
        Some('.' | ',' | ';' | '!') => rest.next().is_none_or(|next| next.is_whitespace() || next == '<'),
        Some(other) => other.is_whitespace(),
    }
}

fn fault(line: usize, problem: impl Into<String>) -> Fault {
    Fault { line, problem: problem.into() }
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// A stretch of a template.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Output(&'a str),
    Statement,
}

/// The stretches with the lines they begin on.
fn pieces(text: &str) -> Result<Vec<(usize, Piece<'_>)>, Fault> {
    let mut pieces = Vec::new();
    let (mut rest, mut line, mut elifs) = (text, 1, 0);
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let (words, tag) = rest.split_at(at);
        pieces.push((line, Piece::Text(words)));
        line += line_at(words, words.len()) - 1;
        let (open, inner) = tag.split_at(2);
        let close = match open {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let Some((inside, after)) = inner.split_once(close) else {
            return Err(fault(line, format!("`{open}` is not closed")));
        };
        let expression = inside.strip_prefix('-').unwrap_or(inside);
        let expression = expression.strip_suffix('-').unwrap_or(expression).trim();
        match open {
            "{{" => {
                self::expression(expression).map_err(|problem| fault(line, problem))?;
                pieces.push((line, Piece::Output(expression)));
            }
            "{%" => {
                statement(expression).map_err(|problem| fault(line, problem))?;
                elifs += usize::from(expression.starts_with("elif"));
                if elifs > ELIFS_MAX {
                    return Err(fault(line, format!("it has more than {ELIFS_MAX} elif")));
                }
                pieces.push((line, Piece::Statement));
            }
            _ => {}
        }
        line += line_at(inside, inside.len()) - 1;
        rest = after;
    }
    pieces.push((line, Piece::Text(rest)));
    Ok(pieces)
}

fn statement(text: &str) -> Result<(), String> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if !STATEMENTS.contains(&word) {
        return Err(format!(
            "there is no statement `{}`; there are {}",
            plain::at_most(word, 40),
            STATEMENTS.join(", ")
        ));
    }
    expression(rest)
}

/// A word of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Word<'a> {
    Name(&'a str),
    Sign(char),
    /// A text in quotes, or a number.
    Constant,
}

fn expression(text: &str) -> Result<(), String> {
    let words = words(text)?;
    if words.len() > WORDS_MAX {
        return Err(format!("an expression has more than {WORDS_MAX} words and signs"));
    }
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        let before_that = at.checked_sub(2).and_then(|before| words.get(before));
        let Word::Name(name) = word else { continue };
        let is_called = words.get(at + 1) == Some(&Word::Sign('('));
        let follows_is = before == Some(&Word::Name("is"))
            || (before == Some(&Word::Name("not")) && before_that == Some(&Word::Name("is")));
        if before == Some(&Word::Sign('|')) {
            if !FILTERS.contains(name) {
                return Err(format!("there is no filter `{name}`; there are {}", FILTERS.join(", ")));
            }
        } else if follows_is && *name != "not" {
            if !TESTS.contains(name) {
                return Err(format!("there is no test `{name}`; there are {}", TESTS.join(", ")));
            }
        } else if is_called {
            let is_operator = ["and", "or", "not", "in", "if", "else"].contains(name);
            let is_link = *name == "link" && before != Some(&Word::Sign('.'));
            if !is_operator && !is_link {
                return Err(format!("there is no function `{name}`; there is link"));
            }
        }
    }
    Ok(())
}

fn words(text: &str) -> Result<Vec<Word<'_>>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let inner = rest.get(1..).unwrap_or_default();
                let end = inner.find(first).ok_or("a text in quotes does not end")?;
                let inside = inner.get(..end).unwrap_or_default();
                // With these the engine may see the end elsewhere than it is seen here.
                if inside.contains(['\\', '{', '}', '%', '#']) {
                    return Err("a text in quotes has one of \\ { } % #".to_owned());
                }
                words.push(Word::Constant);
                end + 2
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let name =
                    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
                words.push(Word::Name(name));
                name.len()
            }
            '0'..='9' => {
                words.push(Word::Constant);
                rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
            }
            '.' | '|' | '(' | ')' | ',' | '=' | '!' | '<' | '>' | '[' | ']' => {
                words.push(Word::Sign(first));
                1
            }
            _ => return Err(format!("`{first}` has no place in an expression")),
        };
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(words)
}

/// Whether an output is one call of `link`, or the product's own address, from its first to its last character.
fn is_link(expression: &str) -> bool {
    let Ok(words) = words(expression) else { return false };
    if words.as_slice() == [Word::Name("product"), Word::Sign('.'), Word::Name("url")] {
        return true;
    }
    let [Word::Name("link"), Word::Sign('('), inner @ .., Word::Sign(')')] = words.as_slice() else {
        return false;
    };
    // The parenthesis behind `link` is the one that the last word closes.
    let mut depth = 0_u32;
    inner.iter().all(|word| match word {
        Word::Sign('(') => {
            depth += 1;
            true
        }
        Word::Sign(')') => {
            let closes_its_own = depth > 0;
            depth = depth.saturating_sub(1);
            closes_its_own
        }
        _ => true,
    })
}

/// A character of the HTML between outputs and statements, or one of these.
#[derive(Clone, Copy)]
enum Sign<'a> {
    Char(char),
    Output(&'a str),
    Statement,
}

struct Signs<'a> {
    signs: std::iter::Peekable<std::vec::IntoIter<(usize, Sign<'a>)>>,
    line: usize,
}

impl<'a> Signs<'a> {
    fn new(pieces: &[(usize, Piece<'a>)]) -> Self {
        let mut signs = Vec::new();
        for (line, piece) in pieces {
            match piece {
                Piece::Text(words) => {
                    let mut line = *line;
                    for c in words.chars() {
                        signs.push((line, Sign::Char(c)));
                        line += usize::from(c == '\n');
                    }
                }
                Piece::Output(expression) => signs.push((*line, Sign::Output(expression))),
                Piece::Statement => signs.push((*line, Sign::Statement)),
            }
        }
        Self { signs: signs.into_iter().peekable(), line: 1 }
    }

    fn next(&mut self) -> Option<Sign<'a>> {
        let (line, sign) = self.signs.next()?;
        self.line = line;
        Some(sign)
    }

    fn peek(&mut self) -> Option<Sign<'a>> {
        self.signs.peek().map(|(_, sign)| *sign)
    }

    fn fault(&self, problem: impl Into<String>) -> Fault {
        fault(self.line, problem)
    }

    /// Characters as long as they are `wanted`, in lower case.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(Sign::Char(c)) = self.peek() {
            if !wanted(c) {
                break;
            }
            taken.push(c.to_ascii_lowercase());
            self.next();
        }
        taken
    }
}

fn html(pieces: &[(usize, Piece<'_>)]) -> Result<(), Fault> {
    let mut signs = Signs::new(pieces);
    while let Some(sign) = signs.next() {
        if matches!(sign, Sign::Char('<')) {
            tag(&mut signs)?;
        }
    }
    Ok(())
}

fn tag(signs: &mut Signs<'_>) -> Result<(), Fault> {
    if let Some(Sign::Char('!')) = signs.peek() {
        let inside = signs.take_while(|c| c != '>');
        let end = signs.next();
        let is_doctype = inside == "!doctype html" && matches!(end, Some(Sign::Char('>')));
        return if is_doctype { Ok(()) } else { Err(signs.fault("`<!` begins nothing but <!doctype html>")) };
    }
    let is_end = matches!(signs.peek(), Some(Sign::Char('/')));
    if is_end {
        signs.next();
    }
    let name = signs.take_while(|c| c.is_ascii_alphanumeric());
    if !TAGS.contains(&name.as_str()) {
        let name = plain::at_most(&name, 40);
        return Err(signs.fault(format!("there is no tag `<{name}>`; a < in a text is written &lt;")));
    }
    loop {
        let spaces = signs.take_while(|c| c.is_ascii_whitespace());
        match signs.peek() {
            Some(Sign::Char('>')) => {
                signs.next();
                return Ok(());
            }
            Some(Sign::Char('/')) => {
                signs.next();
                if !matches!(signs.next(), Some(Sign::Char('>'))) {
                    return Err(signs.fault("a / in a tag stands at its end"));
                }
                return Ok(());
            }
            Some(Sign::Char(c)) if c.is_ascii_alphabetic() && !is_end && !spaces.is_empty() => {
                attribute(&name, signs)?;
            }
            Some(Sign::Char(_)) => return Err(signs.fault(format!("the tag `<{name}>` is not well formed"))),
            Some(Sign::Output(_) | Sign::Statement) => {
                signs.next();
                return Err(signs.fault(format!("the tag `<{name}>` has a template in it outside of href")));
            }
            None => return Err(signs.fault(format!("the tag `<{name}>` does not end"))),
        }
    }
}

fn attribute(tag: &str, signs: &mut Signs<'_>) -> Result<(), Fault> {
    let name = signs.take_while(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_href = name == "href" && tag == "a";
    if !is_href && !ATTRIBUTES.contains(&name.as_str()) {
        return Err(
            signs.fault(format!("there is no attribute `{}` of `<{tag}>`", plain::at_most(&name, 40)))
        );
    }
    let opens = (signs.next(), signs.next());
    if !matches!(opens, (Some(Sign::Char('=')), Some(Sign::Char('"')))) {
        return Err(signs.fault(format!("the value of `{name}` is not written =\"…\"")));
    }
    if is_href {
        let is_a_link = matches!(signs.next(), Some(Sign::Output(expression)) if is_link(expression));
        if !is_a_link || !matches!(signs.next(), Some(Sign::Char('"'))) {
            return Err(signs.fault("the value of href is not \"{{ link('/path') }}\" and nothing else"));
        }
        return Ok(());
    }
    // Styles reach out by url(…), @import and escapes.
    signs.take_while(|c| !matches!(c, '"' | '<' | '(' | '@' | '\\' | '&'));
    if matches!(signs.next(), Some(Sign::Char('"'))) {
        return Ok(());
    }
    Err(signs.fault(format!("the value of `{name}` has a template or one of < ( @ \\ & in it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(part: Part, text: &str) -> String {
        source(part, text).err().unwrap_or_else(|| panic!("{text} was taken")).problem
    }

    #[test]
    fn what_messages_are_made_of_is_taken() {
        for text in [
            "Hello {{ recipient.name }},\n\n{% if address %}from {{ address }}{% else %}from nowhere{% endif %}",
            "{% for one in items %}{{ loop.index }}. {{ one.name|upper }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "{{- link('/reset', token=token) -}} {# a note #} {{ at | time }}",
            "{{ name|default(\"a friend\") }} {{ items[0] }} {% if a and (b or not c) %}x{% endif %}",
            "{% if a is defined and b is not none %}1 < 2 & {{ a }}{% endif %}",
        ] {
            source(Part::Text, text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        }
        for text in [
            "<!doctype html><html lang=\"en\"><body style=\"margin: 0\"><p>Hello <b>{{ name }}</b><br/></p></body></html>",
            "<a href=\"{{ link('/reset', token=token) }}\" class=\"button\">Set it</a> 3 > 2",
            "<table width=\"100%\"><tr>{% for x in xs %}<td>{{ x }}</td>{% endfor %}</tr></table>",
            "<a href=\"{{ product.url }}\">{{ product.name }}</a>",
        ] {
            source(Part::Html, text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        }
    }

    #[test]
    fn nothing_grows_or_reaches_out() {
        for text in [
            "{% set x = 1 %}",
            "{% include 'x' %}",
            "{% raw %}{% endraw %}",
            "{% macro m() %}{% endmacro %}",
            "{% filter upper %}x{% endfilter %}",
            "{% autoescape false %}x{% endautoescape %}",
            "{{ 'x' * 1000000 }}",
            "{{ a ~ a }}",
            "{{ a + a }}",
            "{{ a ** a }}",
            "{{ a|replace('a', 'aa') }}",
            "{{ a|safe }}",
            "{{ a | join('aa') }}",
            "{{ range(100000) }}",
            "{{ a.upper() }}",
            "{{ a.link('/x') }}",
            "{{ {'a': 1} }}",
            "{{ '}}' }}",
            "{{ 'a",
            "{{ a",
            "{% if a is sameas(b) %}{% endif %}",
            "{{ 'a\\' }}",
            "{{ a; b }}",
            "https://evil.test",
            "see //evil.test",
            "WWW.evil.test",
            "mailto:eve@evil.test",
            "tel:+15550100",
            "a\u{202e}b",
            "a\u{0}b",
            "{\r{ a }\r}",
            &"x".repeat(SOURCE_BYTES_MAX + 1),
        ] {
            refused(Part::Text, text);
        }
        assert_eq!(
            refused(Part::Subject, "a\nb"),
            "it has a control or direction character, or a second line"
        );
        refused(Part::Subject, "a\u{2028}b");
    }

    // C50, A22: what a tenant writes is text and links into the product, and nothing else.
    #[test]
    fn html_has_no_script_no_image_and_no_address_of_its_own() {
        for text in [
            "<script>alert(1)</script>",
            "<img src=\"x\">",
            "<p onclick=\"x\">",
            "<a href=\"{{ url }}\">",
            "<a href='{{ link('/x') }}'>",
            "<a href={{ link('/x') }}>",
            "<a href=\"/x\">",
            "<a href=\"x{{ link('/x') }}\">",
            "<a href=\"{{ link('/x') }}.evil.test\">",
            "<a href=\"{{ link('/x') if a else b }}\">",
            "<a href=\"{{ link('/x') if false else (b) }}\">",
            "<a href=\"{{ link('/x')|upper }}\">",
            "<a href=\"{% if a %}{{ link('/x') }}{% endif %}\">",
            "<p {{ a }}>",
            "<p class=\"{{ a }}\">",
            "<p style=\"background: url(x)\">",
            "<p style=\"width: \\65 xpression\">",
            "<{{ a }}>",
            "<{% if a %}p{% endif %}>",
            "<!-- x -->",
            "<![CDATA[x]]>",
            "<style>p { color: red }</style>",
            "<meta http-equiv=\"refresh\">",
            "<base href=\"{{ link('/') }}\">",
            "<form action=\"x\">",
            "<svg/onload=x>",
            "<p/class=\"x\">",
            "<p\u{b}class=\"x\">",
            "<p class=\"a\"class=\"b\">",
            "</p class=\"x\">",
            "a < b",
            "<p",
            "https://evil.test",
            "<b>https:</b>//evil.test",
            "https&colon;&sol;&sol;evil&period;test",
            "e&#x202e;vil",
            "&#104;ttps:",
            "&copysol",
            "a & b",
        ] {
            refused(Part::Html, text);
        }
        source(Part::Html, "<p>a &amp; b &lt;c&gt; &#39;d&#39;&nbsp;&mdash; 24/7</p>").unwrap();
    }

    #[test]
    fn nothing_is_long_enough_to_use_up_the_stack() {
        for text in [
            format!("{{{{ {}event }}}}", "not ".repeat(5_000)),
            format!("{{% if {}event %}}{{% endif %}}", "not ".repeat(7_000)),
            format!("{{{{ event{} }}}}", "|trim".repeat(5_000)),
            format!("{{{{ event{} }}}}", " and event".repeat(3_000)),
            format!("{{{{ event{} }}}}", "[0]".repeat(10_000)),
            format!("{{{{ event{} }}}}", " if event else event".repeat(1_600)),
            format!("{{{{ event{} }}}}", " is defined".repeat(2_700)),
            format!("{{% if event %}}{}{{% endif %}}", "{% elif event %}".repeat(1_900)),
        ] {
            refused(Part::Text, &text);
        }
        // What is just allowed is read and rendered by the engine.
        let most = format!("{{{{ {}event }}}}", "not ".repeat(WORDS_MAX - 1));
        let elifs = format!("{{% if event %}}{}{{% endif %}}", "{% elif event %}".repeat(ELIFS_MAX));
        for text in [most, elifs] {
            source(Part::Text, &text).unwrap();
            minijinja::Environment::new().render_str(&text, minijinja::context! { event => "x" }).unwrap();
        }
    }

    #[test]
    fn addresses_that_were_put_together_are_found() {
        let base = "https://example.test/app";
        let output = |part, text: &str| output(part, text, base);
        for text in [
            "see https://example.test/app/reset?token=x and https://example.test/app.",
            "(https://example.test/app) \"https://example.test/app\"",
            "https: //evil.test, a//b, http:",
        ] {
            output(Part::Text, text).unwrap();
        }
        for text in [
            "https://evil.test",
            "http://example.test/app",
            "https://example.test/",
            "https://example.test/application",
            "https://example.test/app.evil.test",
            "https://example.test/app@evil.test",
            "https://example.test/app:80",
            "xhttps://evil.test/?https://example.test/app",
            "ä://",
        ] {
            assert!(output(Part::Text, text).is_err(), "{text}");
        }
        assert_eq!(output(Part::Html, "<p>\nhttps:&#x2f;/evil.test</p>").unwrap_err().line, 2);
        output(Part::Html, "<a href=\"https:&#x2f;&#x2f;example.test&#x2f;app&#x2f;x\">x</a>").unwrap();
    }

    #[test]
    fn the_line_is_told() {
        let fault = source(Part::Text, "a\nb {{ c }}\n{{ d|safe }}").unwrap_err();
        assert_eq!((fault.line, fault.problem.contains("`safe`")), (3, true));
        assert_eq!(source(Part::Html, "<p>\n\n<img>").unwrap_err().line, 3);
        assert_eq!(source(Part::Text, "{{\n a }}\nsee http://x").unwrap_err().line, 3);
    }
}
