use std::{collections::HashSet, fmt::Write as _};

use super::{
    CasbinInvalid, CasbinModel, CasbinProblem, CasbinProblemKind,
    functions::{is_pattern_sound, star_is_whole},
    matcher::Pattern,
};

/// The rules of a casbin policy: who may do what (`p`), and who has which role (`g`), in order and each once.
///
/// As text this is casbin's CSV: one rule per line, values separated by commas, trimmed, in quotation marks when they have a
/// comma; lines that begin with `#` say nothing. Values are 1 to 1,024 printable ASCII characters, so that none of
/// them looks like another one, and none breaks out of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CasbinRules {
    policies: Vec<Vec<String>>,
    roles: Vec<Vec<String>>,
}

impl CasbinRules {
    /// The most rules of one policy. casbin looks at each of them at every question: past some thousands it is no longer of use.
    pub const RULES_MAX: usize = 1_000_000;
    /// The longest value, in bytes.
    pub const VALUE_MAX: usize = 1_024;
    /// The most values of one rule.
    pub const VALUES_MAX: usize = 12;

    /// Reads casbin's CSV. Lines that are no rules are reported and left out.
    ///
    /// # Errors
    /// [`CasbinInvalid::Denial`] for such a line that has a value `deny`, [`CasbinInvalid::TooManyRules`].
    pub fn parse(csv: &str) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        let lines = csv.lines().zip(1_usize..).filter(|(line, _)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        Self::collect(lines.map(|(line, rule)| (rule, values(line).ok_or_else(|| line.contains("deny")))))
    }

    /// Takes rules as rows, the kind (`p` or `g`) first. Rows that are no rules are reported and left out.
    ///
    /// # Errors
    /// [`CasbinInvalid::Denial`] for such a row that has a value `deny`, [`CasbinInvalid::TooManyRules`].
    pub fn from_rows(
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        Self::collect((1..).zip(rows.into_iter().map(Ok)))
    }

    /// Each rule is its values, or whether what could not be read seems to deny.
    fn collect(
        rows: impl Iterator<Item = (usize, Result<Vec<String>, bool>)>,
    ) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        let (mut rules, mut problems) = (Self::default(), Vec::new());
        let mut seen = HashSet::new();
        for (rule, row) in rows {
            let checked = match &row {
                Ok(row) => checked(row).map_err(|kind| (kind, row.iter().any(|value| seems_to_deny(value)))),
                Err(denies) => Err((CasbinProblemKind::Syntax, *denies)),
            };
            match (checked, row) {
                (Ok(()), Ok(row)) => {
                    if seen.insert(row.clone()) {
                        rules.push(row);
                    }
                }
                (Err((_, true)), _) => return Err(CasbinInvalid::Denial { rule }),
                (Err((kind, false)), _) => problems.push(CasbinProblem { rule, kind }),
                (Ok(()), Err(_)) => {}
            }
            if seen.len() > Self::RULES_MAX {
                return Err(CasbinInvalid::TooManyRules);
            }
        }
        Ok((rules, problems))
    }

    fn push(&mut self, mut row: Vec<String>) {
        let kind = row.remove(0);
        if kind == "p" { self.policies.push(row) } else { self.roles.push(row) }
    }

    /// Adds a rule that was made here of parts that are known to be plain; the caller adds none twice.
    pub(super) fn push_policy(&mut self, values: Vec<String>) {
        self.policies.push(values);
    }

    pub(super) fn push_role(&mut self, values: Vec<String>) {
        self.roles.push(values);
    }

    /// The `p` rules, without their kind.
    #[must_use]
    pub fn policies(&self) -> &[Vec<String>] {
        &self.policies
    }

    /// The `g` rules, without their kind.
    #[must_use]
    pub fn roles(&self) -> &[Vec<String>] {
        &self.roles
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len() + self.roles.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rules as rows, the kind first.
    pub fn rows(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        let with = |kind: &'static str| {
            move |values: &Vec<String>| {
                std::iter::once(kind.to_owned()).chain(values.iter().cloned()).collect::<Vec<_>>()
            }
        };
        self.policies.iter().map(with("p")).chain(self.roles.iter().map(with("g")))
    }

    /// The rules as casbin's CSV, which [`parse`](Self::parse) and every casbin read back.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut csv = String::new();
        for row in self.rows() {
            for (place, value) in row.iter().enumerate() {
                let quote = if value.contains([',', '#']) { "\"" } else { "" };
                let separator = if place == 0 { "" } else { ", " };
                let _ = write!(csv, "{separator}{quote}{value}{quote}");
            }
            csv.push('\n');
        }
        csv
    }

    /// What `model` can make of the rules: those that do not fit it give nothing and are reported, by their place in each
    /// list.
    pub(super) fn fitted(&self, model: &CasbinModel) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        let (mut fitted, mut problems) = (Self::default(), Vec::new());
        let effect = model.effect_place();
        for (row, rule) in self.policies.iter().zip(1_usize..) {
            let denies = row.iter().any(|value| seems_to_deny(value));
            if row.len() != model.rule.len() {
                if denies {
                    return Err(CasbinInvalid::Denial { rule });
                }
                problems.push(CasbinProblem { rule, kind: CasbinProblemKind::Arity });
                continue;
            }
            let mut row = row.clone();
            let mut denies = false;
            if let Some(effect) = effect.and_then(|place| row.get_mut(place)) {
                denies = effect != "allow";
                if denies && effect != "deny" {
                    // casbin ignores such a rule; whoever wrote `Deny` meant one.
                    problems.push(CasbinProblem { rule, kind: CasbinProblemKind::Effect });
                    "deny".clone_into(effect);
                }
            }
            let unsound = model.uses.patterns.iter().any(|(place, pattern)| {
                let value = row.get(*place).map_or("", String::as_str);
                // A look-alike prefix only makes a denial wider.
                !is_pattern_sound(*pattern, value)
                    || (!denies && *pattern == Pattern::Prefix && !star_is_whole(value))
            });
            match (unsound, denies) {
                (true, true) => return Err(CasbinInvalid::Denial { rule }),
                (true, false) => problems.push(CasbinProblem { rule, kind: CasbinProblemKind::Pattern }),
                (false, _) => fitted.policies.push(row),
            }
        }
        let first_role = self.policies.len() + 1;
        for (row, rule) in self.roles.iter().zip(first_role..) {
            if model.role_places == Some(row.len()) {
                fitted.roles.push(row.clone());
            } else {
                problems.push(CasbinProblem { rule, kind: CasbinProblemKind::Arity });
            }
        }
        // A row whose effect was corrected may now be there twice, and places of rules have to be those in casbin's set.
        let mut seen = HashSet::with_capacity(fitted.policies.len());
        fitted.policies.retain(|row| seen.insert(row.clone()));
        Ok((fitted, problems))
    }
}

fn seems_to_deny(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("deny")
}

/// Whether every value is within the alphabet.
pub(super) fn is_value(value: &str) -> bool {
    (1..=CasbinRules::VALUE_MAX).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"')
        && value.trim() == value
}

fn checked(row: &[String]) -> Result<(), CasbinProblemKind> {
    let Some((kind, values)) = row.split_first() else { return Err(CasbinProblemKind::Syntax) };
    if !matches!(kind.as_str(), "p" | "g") || values.is_empty() {
        return Err(CasbinProblemKind::Syntax);
    }
    if values.len() > CasbinRules::VALUES_MAX {
        return Err(CasbinProblemKind::Arity);
    }
    // A name that begins with `#` would be a comment when it is read back.
    if values.iter().all(|value| is_value(value)) { Ok(()) } else { Err(CasbinProblemKind::Value) }
}

/// The values of one line of CSV; `None` when quotation marks are misplaced.
fn values(line: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = line.trim();
    loop {
        let value;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, after) = quoted.split_once('"')?;
            value = inside;
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            value = rest.get(..end)?.trim();
            rest = rest.get(end..)?;
            if value.contains('"') {
                return None;
            }
        }
        values.push(value.to_owned());
        if values.len() > CasbinRules::VALUES_MAX + 1 {
            return Some(values);
        }
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return Some(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(csv: &str) -> (CasbinRules, Vec<(usize, CasbinProblemKind)>) {
        let (rules, problems) = CasbinRules::parse(csv).unwrap();
        (rules, problems.into_iter().map(|problem| (problem.rule, problem.kind)).collect())
    }

    #[test]
    fn rules_survive_the_way_through_text() {
        let csv = "# who may what\np, alice, data1, read\n\n p , \"a, b\" ,data2,write\ng, alice, admin\np, alice, data1, read\n";
        let (rules, problems) = parse(csv);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(rules.policies(), [["alice", "data1", "read"], ["a, b", "data2", "write"]]);
        assert_eq!(rules.roles(), [["alice", "admin"]]);
        assert_eq!(parse(&rules.to_csv()), (rules, Vec::new()));
    }

    #[test]
    fn lines_that_are_no_rules_are_reported_and_the_rest_works() {
        use CasbinProblemKind::{Syntax, Value};
        let long = "x".repeat(1_025);
        let (rules, problems) = parse(&format!(
            "p, alice, data1, read\np, аlice, data1, read\np, alice, , read\nq, a, b\np\np, \"a\np, a\"b, c\np, {long}, a\np, a\u{0}, b"
        ));
        assert_eq!(rules.len(), 1);
        assert_eq!(
            problems,
            [
                (2, Value),
                (3, Value),
                (4, Syntax),
                (5, Syntax),
                (6, Syntax),
                (7, Syntax),
                (8, Value),
                (9, Value)
            ]
        );
    }

    #[test]
    fn a_denial_that_cannot_be_understood_is_never_left_out() {
        for csv in ["p, аlice, data1, read, deny", "p, alice, , Deny", "p, \"a, deny"] {
            assert_eq!(CasbinRules::parse(csv).map(|_| ()), Err(CasbinInvalid::Denial { rule: 1 }), "{csv}");
        }
        let model = CasbinModel::rbac_with_domains().unwrap();
        let short = CasbinRules::parse("p, alice, t, read, deny").unwrap().0;
        assert_eq!(short.fitted(&model).map(|_| ()), Err(CasbinInvalid::Denial { rule: 1 }));
    }

    #[test]
    fn rules_that_do_not_fit_the_model_give_nothing() {
        let model = CasbinModel::rbac_with_domains().unwrap();
        let csv = "p, alice, t, *, read\np, alice, t, *, read, allow\np, alice, t, *, a, Deny\np, a, t, doc*, b, allow\ng, a, b\ng, a, b, t";
        let (fitted, problems) = CasbinRules::parse(csv).unwrap().0.fitted(&model).unwrap();
        assert_eq!(
            fitted.policies(),
            [["alice", "t", "*", "read", "allow"], ["alice", "t", "*", "a", "deny"]]
        );
        assert_eq!(fitted.roles(), [["a", "b", "t"]]);
        let kinds: Vec<_> = problems.iter().map(|problem| (problem.rule, problem.kind)).collect();
        use CasbinProblemKind::{Arity, Effect, Pattern};
        assert_eq!(kinds, [(1, Arity), (3, Effect), (4, Pattern), (5, Arity)]);
    }
}
