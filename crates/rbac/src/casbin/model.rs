use std::sync::Arc;

use ::casbin::{DefaultModel, Model as _};

use super::{
    CasbinInvalid,
    matcher::{self, ModelNames, Uses},
};

const SECTIONS: [(&str, &str); 5] = [
    ("request_definition", "r"),
    ("policy_definition", "p"),
    ("role_definition", "g"),
    ("policy_effect", "e"),
    ("matchers", "m"),
];

/// The effects that deny what no rule allows, as casbin spells them after its own rewriting. `!some(where (p.eft == deny))` is
/// missing on purpose: it allows by default.
const EFFECTS: [(&str, bool); 3] = [
    ("some(where (p_eft == allow))", false),
    ("some(where (p_eft == allow)) && !some(where (p_eft == deny))", true),
    ("priority(p_eft) || deny", true),
];

/// A casbin model that passed the checks: what requests and rules are made of, and when they match.
///
/// Of casbin's model files this takes one request, rule and role definition each, the three effects that deny by
/// default, and matchers of comparisons (`==`, `!=`), `g`, `keyMatch` to `keyMatch5` and `regexMatch`, joined by `&&`, `||`,
/// `!` and parentheses. There is no `eval`, no attribute of an attribute, and no pattern that comes from the request.
#[derive(Debug, Clone)]
pub struct CasbinModel {
    pub(super) request: Arc<[String]>,
    pub(super) rule: Arc<[String]>,
    /// How many values a role rule has: 2, or 3 with domains.
    pub(super) role_places: Option<usize>,
    pub(super) effect: &'static str,
    pub(super) matcher: String,
    pub(super) uses: Uses,
}

impl CasbinModel {
    /// The longest model file.
    pub const BYTES_MAX: usize = 16 * 1024;

    /// The model that native roles are exported to: roles with domains (the tenants), and denials that win.
    ///
    /// `sub` is `person:ID`, `service:ID`, `group:ID` or `role:NAME`, `dom` a tenant's id or `platform`, `obj` is `*` or a resource as
    /// `KIND/ID`, `act` a permission or a pattern as `user.*`, `eft` is `allow` or `deny`.
    pub const RBAC_WITH_DOMAINS: &'static str = "\
[request_definition]
r = sub, dom, obj, act

[policy_definition]
p = sub, dom, obj, act, eft

[role_definition]
g = _, _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = r.dom == p.dom && keyMatch(r.act, p.act) && keyMatch(r.obj, p.obj) && g(r.sub, p.sub, r.dom)
";

    /// Reads a model file.
    ///
    /// # Errors
    /// [`CasbinInvalid`], saying what is not supported and where.
    pub fn parse(text: &str) -> Result<Self, CasbinInvalid> {
        Self::parse_with(text, None)
    }

    /// The model of [`RBAC_WITH_DOMAINS`](Self::RBAC_WITH_DOMAINS).
    ///
    /// # Errors
    /// None in practice: a test parses the text.
    pub fn rbac_with_domains() -> Result<Self, CasbinInvalid> {
        Self::parse(Self::RBAC_WITH_DOMAINS)
    }

    /// The same with a function of ours, for models that are written here.
    pub(super) fn parse_with(text: &str, own: Option<&'static str>) -> Result<Self, CasbinInvalid> {
        if text.len() > Self::BYTES_MAX || !text.bytes().all(is_plain) {
            return Err(CasbinInvalid::Text);
        }
        let [request, rule, roles, effect, matcher] = definitions(text)?;
        let request =
            names(&request.ok_or(CasbinInvalid::Missing("r"))?).ok_or(CasbinInvalid::Definition("r"))?;
        let rule = names(&rule.ok_or(CasbinInvalid::Missing("p"))?).ok_or(CasbinInvalid::Definition("p"))?;
        let role_places =
            roles.map(|places| places_of(&places).ok_or(CasbinInvalid::Definition("g"))).transpose()?;
        let effect = squeezed(&effect.ok_or(CasbinInvalid::Missing("e"))?.replace("p.eft", "p_eft"));
        let known = EFFECTS.iter().find(|(text, _)| squeezed(text) == effect);
        let (effect, needs_effect) = *known.ok_or(CasbinInvalid::Effect)?;
        if needs_effect && !rule.iter().any(|name| name == "eft") {
            return Err(CasbinInvalid::Effect);
        }
        let matcher = matcher.ok_or(CasbinInvalid::Missing("m"))?;
        let uses =
            matcher::check(&matcher, &ModelNames { request: &request, rule: &rule, role_places, own })?;
        Ok(Self { request: request.into(), rule: rule.into(), role_places, effect, matcher, uses })
    }

    /// The names of a request's values, in order.
    #[must_use]
    pub fn request(&self) -> &[String] {
        &self.request
    }

    /// Where rules have their effect, if they have one.
    pub(super) fn effect_place(&self) -> Option<usize> {
        self.rule.iter().position(|name| name == "eft")
    }

    /// The model as casbin takes it.
    pub(super) fn build(&self) -> DefaultModel {
        let mut model = DefaultModel::default();
        model.add_def("r", "r", &self.request.join(", "));
        model.add_def("p", "p", &self.rule.join(", "));
        if let Some(places) = self.role_places {
            model.add_def("g", "g", if places == 2 { "_, _" } else { "_, _, _" });
        }
        model.add_def("e", "e", self.effect);
        model.add_def("m", "m", &self.matcher);
        model
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')
}

/// The values of `r`, `p`, `g`, `e` and `m`, in the order of [`SECTIONS`].
fn definitions(text: &str) -> Result<[Option<String>; 5], CasbinInvalid> {
    let mut found = [const { None }; 5];
    let mut section = None;
    let mut lines = text.lines().map(str::trim).zip(1_usize..);
    while let Some((line, number)) = lines.next() {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let known = SECTIONS.iter().position(|(known, _)| *known == name);
            section = Some(known.ok_or_else(|| CasbinInvalid::Unsupported(name.to_owned()))?);
            continue;
        }
        let mut line = line.to_owned();
        while let Some(begun) = line.strip_suffix('\\') {
            let next = lines.next().map_or("", |(next, _)| next);
            line = format!("{} {next}", begun.trim_end());
        }
        let invalid = CasbinInvalid::Line { line: number };
        let (Some(section), Some((key, value))) = (section, line.split_once('=')) else {
            return Err(invalid);
        };
        let key = key.trim();
        let slot = found.get_mut(section).ok_or(invalid)?;
        let wanted = SECTIONS.get(section).is_some_and(|(_, wanted)| *wanted == key);
        // A second `r2` or `g2` shares casbin's one graph of roles with the first.
        if !wanted || slot.is_some() {
            return Err(CasbinInvalid::Unsupported(key.to_owned()));
        }
        // casbin cuts a comment off behind a value; literals of matchers have no `#`.
        let value = value.split('#').next().unwrap_or_default().trim();
        *slot = Some(value.to_owned());
    }
    Ok(found)
}

/// One to twelve distinct names.
fn names(list: &str) -> Option<Vec<String>> {
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    let is_name = |name: &String| {
        let mut bytes = name.bytes();
        name.len() <= 32
            && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let distinct =
        names.iter().enumerate().all(|(place, name)| !names.iter().take(place).any(|one| one == name));
    (names.len() <= 12 && distinct && names.iter().all(is_name)).then_some(names)
}

fn places_of(list: &str) -> Option<usize> {
    let places: Vec<&str> = list.split(',').map(str::trim).collect();
    (matches!(places.len(), 2 | 3) && places.iter().all(|place| *place == "_")).then_some(places.len())
}

fn squeezed(text: &str) -> String {
    text.split_ascii_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(from: &str, to: &str) -> Result<CasbinModel, CasbinInvalid> {
        assert!(CasbinModel::RBAC_WITH_DOMAINS.contains(from));
        CasbinModel::parse(&CasbinModel::RBAC_WITH_DOMAINS.replace(from, to))
    }

    #[test]
    fn the_exported_model_passes() {
        let model = CasbinModel::rbac_with_domains().unwrap();
        assert_eq!(model.request(), ["sub", "dom", "obj", "act"]);
        assert_eq!((model.role_places, model.effect_place()), (Some(3), Some(4)));
        assert!(with("m = r.dom == p.dom", "m = r.dom \\\n == p.dom").is_ok());
    }

    #[test]
    fn what_could_surprise_is_refused() {
        // C23, and casbin's effect that allows by default.
        let refused = |from, to| with(from, to).map(|_| ()).unwrap_err();
        assert!(matches!(refused("keyMatch(r.act, p.act)", "eval(p.act)"), CasbinInvalid::Matcher { .. }));
        assert_eq!(refused("some(where (p.eft == allow)) && ", ""), CasbinInvalid::Effect);
        assert_eq!(
            refused("e = some(where (p.eft == allow)) && !some(where (p.eft == deny))", ""),
            CasbinInvalid::Missing("e")
        );
        assert_eq!(refused(", act, eft", ", act"), CasbinInvalid::Effect);
        assert_eq!(refused("g = _, _, _", "g = _, _, _\ng2 = _, _"), CasbinInvalid::Unsupported("g2".into()));
        assert_eq!(refused("g = _, _, _", "g = _, _, _, _"), CasbinInvalid::Definition("g"));
        assert_eq!(refused("r = sub, dom", "r = sub, sub"), CasbinInvalid::Definition("r"));
        assert_eq!(refused("[matchers]", "[constraints]"), CasbinInvalid::Unsupported("constraints".into()));
        assert_eq!(refused("[matchers]", "matchers"), CasbinInvalid::Line { line: 13 });
        assert_eq!(refused("sub", "s\u{fc}b"), CasbinInvalid::Text);
        assert_eq!(refused("sub", &"s".repeat(1 << 20)), CasbinInvalid::Text);
        assert_eq!(CasbinModel::parse("").map(|_| ()), Err(CasbinInvalid::Missing("r")));
    }
}
