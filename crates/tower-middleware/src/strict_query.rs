use std::borrow::Cow;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;
use stylobate_core::{FieldProblem, Problem};

use crate::{ApiError, field_error::field_problem};

/// Query parameters, read strictly: an unknown (where the type says `deny_unknown_fields`), missing or mistyped one is
/// 422 `validation` with the parameter named, one that is given twice is 400 `duplicate_parameter` (ASVS 5.0 V15.3.7).
#[derive(Debug, Clone, Copy, Default)]
pub struct StrictQuery<T>(pub T);

impl<T, S> FromRequestParts<S> for StrictQuery<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let parameters = Parameters::read(parts.uri.query().unwrap_or_default())?;
        parameters.into_type().map(Self)
    }
}

/// More than any of our forms has, and few enough to compare each with each.
const PARAMETERS_MAX: usize = 100;

/// The parameters of one query or form, each named once.
pub(crate) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    pub(crate) fn read(query: &'a str) -> Result<Self, ApiError> {
        let mut all: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if all.len() == PARAMETERS_MAX {
                let message = format!("must not hold more than {PARAMETERS_MAX} parameters");
                return Err(ApiError::field("", "too_many", message));
            }
            if all.iter().any(|(known, _)| *known == name) {
                let detail = "A parameter is given more than once.";
                let problem = Problem::new(400, "duplicate_parameter").detail(detail);
                return Err(problem.field(shown(&name), "duplicate", "is given more than once").into());
            }
            if name.contains('\0') || value.contains('\0') {
                return Err(ApiError::field(shown(&name), "invalid", "must not hold NUL"));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// Takes out the parameters called one of `names`; the others stay.
    pub(crate) fn take(&mut self, names: &[&str]) -> Self {
        let all = std::mem::take(&mut self.0);
        let (taken, left) = all.into_iter().partition(|(name, _)| names.contains(&name.as_ref()));
        self.0 = left;
        Self(taken)
    }

    pub(crate) fn into_type<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let text = text.extend_pairs(self.0).finish();
        let parameters = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
        serde_path_to_error::deserialize(parameters).map_err(|error| {
            let problem: FieldProblem = field_problem(error.path(), &error.inner().to_string());
            ApiError::fields(vec![problem])
        })
    }
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| *c != '\0').take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        email: Option<String>,
        level: Option<u8>,
        active: Option<bool>,
    }

    fn read(query: &str) -> Result<Filter, (u16, String, String)> {
        Parameters::read(query).and_then(Parameters::into_type).map_err(|error| {
            let problem = error.problem();
            let field = problem.errors.first().unwrap();
            assert!(!field.message.contains("canary"), "{field:?}");
            (problem.status, field.field.clone(), field.code.to_string())
        })
    }

    #[test]
    fn parameters_become_fields() {
        let filter = read("email=a%2Bb%40c.d&level=7&active=true").unwrap();
        assert_eq!(filter, Filter { email: Some("a+b@c.d".into()), level: Some(7), active: Some(true) });
        assert_eq!(read("").unwrap(), Filter { email: None, level: None, active: None });
    }

    #[test]
    fn wrong_parameters_are_named() {
        let refused = |query: &str| read(query).unwrap_err();
        assert_eq!(refused("canary=1"), (422, "canary".into(), "unknown".into()));
        assert_eq!(refused("level=canary"), (422, "level".into(), "invalid".into()));
        assert_eq!(refused("level=256"), (422, "level".into(), "invalid".into()));
        assert_eq!(refused("active=yes"), (422, "active".into(), "invalid".into()));
        assert_eq!(refused("email=a%00"), (422, "email".into(), "invalid".into()));
        assert_eq!(refused("email=a&email=b"), (400, "email".into(), "duplicate".into()));
        assert_eq!(refused("email=a&%65mail=b"), (400, "email".into(), "duplicate".into()));
        let many: String = (0..300_000).map(|n| format!("{n:x}&")).collect();
        assert_eq!(refused(&many), (422, "".into(), "too_many".into()));
    }
}
