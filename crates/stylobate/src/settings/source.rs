use std::{collections::BTreeMap, path::Path};

use super::{
    SettingProblem, composed,
    table::{NOT_USED, PREFIX, Setting, settings_table},
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// An environment variable, or a line of `.env`.
    Variable,
    /// A file in `/run/secrets`.
    SecretFile,
    /// A value that refers elsewhere (`file://…`, `env://…`).
    Reference,
}

/// A setting that was given, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The canonical key.
    pub key: &'static str,
    /// The name that was used.
    pub name: String,
    /// Where the value came from.
    pub kind: SourceKind,
}

/// The values given for the table's settings, each with its source.
pub(super) struct Values {
    values: BTreeMap<&'static str, (Source, String)>,
    pub(super) problems: Vec<SettingProblem>,
    /// Names that an older system used and this version has no use for.
    pub(super) ignored: Vec<String>,
}

/// Names of the replaced systems that were given and that this version does not use.
fn ignored(prefix: &str, given: &BTreeMap<String, String>) -> Vec<String> {
    let is_ignored = |name: &&String| {
        let name = name.strip_prefix(prefix).unwrap_or(name);
        NOT_USED.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => *known == name,
        })
    };
    given.keys().filter(is_ignored).cloned().collect()
}

/// The auth microservice put this in front of every name of its own.
pub(super) const MICROSERVICE_PREFIX: &str = "AUTH_MICROSERVICE_";

/// Where container platforms mount secrets as files.
const SECRETS_DIR: &str = "/run/secrets";

/// All that was given: variables, and secrets in files.
pub(super) struct Given<'a> {
    pub(super) prefix: &'a str,
    variables: BTreeMap<String, String>,
    secrets: &'a Path,
}

/// A value as it is used, and where it was found.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) kind: SourceKind,
}

impl<'a> Given<'a> {
    /// Adds the names that names of the auth microservice stand for; what is given by our own name stays.
    fn new(prefix: &'a str, mut variables: BTreeMap<String, String>, secrets: &'a Path) -> Self {
        let stripped = |(name, value): (&String, &String)| {
            Some((name.strip_prefix(MICROSERVICE_PREFIX)?.to_owned(), value.clone()))
        };
        for (name, value) in variables.iter().filter_map(stripped).collect::<Vec<_>>() {
            variables.entry(name).or_insert(value);
        }
        Self { prefix, variables, secrets }
    }

    /// What the first of `names` that is given holds, with a reference followed.
    pub(super) fn find(&self, names: &[String]) -> Result<Option<Found>, SettingProblem> {
        let variable = names.iter().find_map(|name| {
            // An empty variable is how many tools spell "not set".
            let value = self.variables.get(name).filter(|value| !value.is_empty())?;
            Some((name.clone(), value.clone(), SourceKind::Variable))
        });
        let found = variable.or_else(|| {
            names.iter().find_map(|name| {
                let value = std::fs::read_to_string(self.secrets.join(name)).ok()?;
                Some((name.clone(), value.trim_end_matches(['\n', '\r']).to_owned(), SourceKind::SecretFile))
            })
        });
        let Some((name, value, kind)) = found else { return Ok(None) };
        match resolve(&value, &self.variables) {
            Ok(Some(value)) => Ok(Some(Found { name, value, kind: SourceKind::Reference })),
            Ok(None) => Ok(Some(Found { name, value, kind })),
            Err(problem) => Err(SettingProblem { name, problem }),
        }
    }
}

impl Values {
    pub(super) fn new(prefix: &str, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::with_secrets_in(Path::new(SECRETS_DIR), prefix, pairs)
    }

    pub(super) fn with_secrets_in(
        secrets: &Path,
        prefix: &str,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let given = Given::new(prefix, pairs.into_iter().collect(), secrets);
        let ignored = ignored(prefix, &given.variables);
        let mut this = Self { values: BTreeMap::new(), problems: Vec::new(), ignored };
        this.refuse_unknown(&given.variables);
        for setting in settings_table() {
            this.read(setting, &given);
        }
        composed::add(&mut this, &given);
        this
    }

    pub(super) fn insert(&mut self, key: &'static str, found: Found) {
        let Found { name, value, kind } = found;
        self.values.insert(key, (Source { key, name, kind }, value));
    }

    pub(super) fn problem(&mut self, name: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(SettingProblem { name: name.into(), problem: problem.into() });
    }

    /// The value and the name it was given by.
    pub(super) fn get(&self, key: &'static str) -> Option<(&str, &str)> {
        self.values.get(key).map(|(source, value)| (source.name.as_str(), value.as_str()))
    }

    /// The name an operator would look for: the one used, or the documented one.
    pub(super) fn name(&self, key: &'static str) -> String {
        if let Some((name, _)) = self.get(key) {
            return name.to_owned();
        }
        let setting = settings_table().iter().find(|setting| setting.key == key);
        setting
            .and_then(|setting| setting.aliases.first())
            .map_or_else(|| key.to_owned(), |alias| (*alias).to_owned())
    }

    pub(super) fn into_sources(self) -> Vec<Source> {
        self.values.into_values().map(|(source, _)| source).collect()
    }

    fn refuse_unknown(&mut self, given: &BTreeMap<String, String>) {
        for name in given.keys() {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            // Variables of our own developer tools share the prefix, but have no section.
            let is_setting = key.contains("__");
            if is_setting && !settings_table().iter().any(|setting| setting.key == key) {
                self.problem(name, "there is no such setting");
            }
        }
    }

    fn read(&mut self, setting: &'static Setting, given: &Given<'_>) {
        let mut names = vec![setting.name()];
        if !given.prefix.is_empty() {
            names.extend(setting.aliases.iter().map(|alias| format!("{}{alias}", given.prefix)));
        }
        names.extend(setting.aliases.iter().map(|alias| (*alias).to_owned()));
        match given.find(&names) {
            Ok(Some(found)) => self.insert(setting.key, found),
            Ok(None) => {}
            Err(problem) => self.problems.push(problem),
        }
    }
}

/// Follows a reference one step. An unresolved one stops the start: the text of a reference is never a value.
fn resolve(value: &str, given: &BTreeMap<String, String>) -> Result<Option<String>, String> {
    if let Some(path) = value.strip_prefix("file://") {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the file it refers to cannot be read: {}", error.kind()))?;
        return Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if let Some(name) = value.strip_prefix("env://") {
        return given
            .get(name)
            .cloned()
            .map(Some)
            .ok_or_else(|| format!("it refers to `{name}`, which is not set"));
    }
    if ["openbao://", "bao://", "vault://"].iter().any(|scheme| value.starts_with(scheme)) {
        return Err("this build cannot read from OpenBao".to_owned());
    }
    Ok(None)
}
