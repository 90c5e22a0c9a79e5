use crate::{Assignee, Resource};

/// Which things of a list a principal may use a permission on, as [`Engine::list_filter`](crate::Engine::list_filter) says.
///
/// It lets through exactly what a check of the single thing allows, as far as what it compares is known; what is not known
/// never lets a thing through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListFilter {
    /// All of them.
    All,
    /// None of them.
    Nothing,
    /// Those of which this is known to hold.
    Matching(FilterExpr),
}

/// A condition on the things of a list, in Kleene's logic, which is also SQL's: what is not known of a thing (a column that
/// is NULL or is not there) is neither true nor false, and so is its opposite.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterExpr {
    /// The thing is owned by this subject.
    OwnedBy(Assignee),
    /// The attribute has this value.
    Attribute {
        /// Its name.
        name: Box<str>,
        /// Its value.
        equals: Box<str>,
    },
    /// The thing is one of these.
    Ids {
        /// Their kind.
        kind: Box<str>,
        /// Their ids, sorted.
        ids: Vec<Box<str>>,
    },
    /// All of these hold; an empty list holds.
    All(Vec<FilterExpr>),
    /// One of these holds; an empty list does not.
    Any(Vec<FilterExpr>),
    /// It does not hold.
    Not(Box<FilterExpr>),
    /// It cannot be known.
    Unknown,
}

impl ListFilter {
    pub(crate) fn new(expr: FilterExpr) -> Self {
        match expr {
            FilterExpr::All(parts) if parts.is_empty() => Self::All,
            FilterExpr::Any(parts) if parts.is_empty() => Self::Nothing,
            FilterExpr::Unknown => Self::Nothing,
            expr => Self::Matching(expr),
        }
    }

    /// Whether it lets `resource` through: for lists in memory.
    #[must_use]
    pub fn is_match(&self, resource: &Resource<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Matching(expr) => expr.holds(resource) == Some(true),
        }
    }
}

impl FilterExpr {
    pub(crate) const TRUE: Self = Self::All(Vec::new());
    pub(crate) const FALSE: Self = Self::Any(Vec::new());

    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    pub(crate) fn is_false(&self) -> bool {
        matches!(self, Self::Any(parts) if parts.is_empty())
    }

    /// All of `parts`, put as simply as it goes.
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                part if part.is_false() => return part,
                Self::All(inner) => kept.extend(inner),
                part => kept.push(part),
            }
        }
        if kept.len() == 1 { kept.pop().unwrap_or(Self::TRUE) } else { Self::All(kept) }
    }

    /// One of `parts`, put as simply as it goes.
    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                part if part.is_true() => return part,
                Self::Any(inner) => kept.extend(inner),
                part => kept.push(part),
            }
        }
        if kept.len() == 1 { kept.pop().unwrap_or(Self::FALSE) } else { Self::Any(kept) }
    }

    pub(crate) fn negate(self) -> Self {
        match self {
            part if part.is_true() => Self::FALSE,
            part if part.is_false() => Self::TRUE,
            Self::Not(inner) => *inner,
            Self::Unknown => Self::Unknown,
            part => Self::Not(Box::new(part)),
        }
    }

    fn holds(&self, resource: &Resource<'_>) -> Option<bool> {
        match self {
            Self::OwnedBy(subject) => resource.owner.map(|owner| owner == *subject),
            Self::Attribute { name, equals } => {
                let mut values = resource.attributes.iter().filter(|(key, _)| *key == &**name).peekable();
                values.peek()?;
                Some(values.any(|(_, value)| *value == &**equals))
            }
            // No access control list is about a thing without id.
            Self::Ids { kind, ids } => Some(
                resource.kind == &**kind
                    && resource.id.is_some_and(|id| ids.binary_search_by(|one| (**one).cmp(id)).is_ok()),
            ),
            Self::All(parts) => Self::fold(parts, resource, false),
            Self::Any(parts) => Self::fold(parts, resource, true),
            Self::Not(part) => part.holds(resource).map(|holds| !holds),
            Self::Unknown => None,
        }
    }

    fn fold(parts: &[Self], resource: &Resource<'_>, decisive: bool) -> Option<bool> {
        let mut known = Some(!decisive);
        for part in parts {
            match part.holds(resource) {
                Some(holds) if holds == decisive => return Some(decisive),
                Some(_) => {}
                None => known = None,
            }
        }
        known
    }
}

#[cfg(feature = "sql")]
pub use sql::{FilterColumn, FilterColumns};

#[cfg(feature = "sql")]
mod sql {
    use serde_json::Value;
    use stylobate_db::{Sql, SqlBuilder};
    use uuid::Uuid;

    use super::{FilterExpr, ListFilter};
    use crate::AssigneeKind;

    /// The expressions of a listing's statement that a [`ListFilter`] may compare. What has none is unknown and lets
    /// nothing through.
    #[derive(Debug, Clone, Copy)]
    pub struct FilterColumns<'a> {
        /// The kind of the things, as [`Resource::kind`](crate::Resource) has it.
        pub kind: &'a str,
        /// A thing's id.
        pub id: Option<FilterColumn>,
        /// The kind of subject that owns things, and the expression with its id: a UUID.
        pub owner: Option<(AssigneeKind, &'static str)>,
        /// Attributes, each with its expression: a text.
        pub attributes: &'a [(&'a str, &'static str)],
    }

    /// The expression with a thing's id.
    #[derive(Debug, Clone, Copy)]
    pub enum FilterColumn {
        /// A text.
        Text(&'static str),
        /// A UUID; ids that are none match nothing.
        Uuid(&'static str),
    }

    impl ListFilter {
        /// Adds the predicate, in parentheses, for after `WHERE` or `AND`. What rules say is bound, never text of the
        /// statement.
        pub fn push(&self, sql: &mut SqlBuilder, columns: &FilterColumns<'_>) {
            match self {
                Self::All => sql.push("(1 = 1)"),
                Self::Nothing => sql.push("(1 = 0)"),
                Self::Matching(expr) => {
                    expr.push(sql, columns);
                    sql
                }
            };
        }
    }

    const UNKNOWN: Sql = Sql::Per { pg: "CAST(NULL AS boolean)", lite: "NULL" };

    impl FilterExpr {
        fn push(&self, sql: &mut SqlBuilder, columns: &FilterColumns<'_>) {
            match self {
                Self::OwnedBy(subject) => match columns.owner {
                    Some((kind, column)) if kind == subject.kind => {
                        sql.push("(").push(column).push(" = ").value(subject.id).push(")");
                    }
                    // Things owned by people are not a service's own, but one without owner is nobody's known.
                    Some((_, column)) => {
                        sql.push("(").push(column).push(" <> ").push(column).push(")");
                    }
                    None => {
                        sql.push_sql(UNKNOWN);
                    }
                },
                Self::Attribute { name, equals } => {
                    match columns.attributes.iter().find(|(one, _)| *one == &**name) {
                        Some((_, column)) => {
                            sql.push("(").push(column).push(" = ").value(equals.to_string()).push(")");
                        }
                        None => {
                            sql.push_sql(UNKNOWN);
                        }
                    }
                }
                Self::Ids { kind, .. } if **kind != *columns.kind => {
                    sql.push("(1 = 0)");
                }
                Self::Ids { ids, .. } => push_ids(sql, columns.id, ids),
                Self::All(parts) => push_all(sql, columns, parts, " AND ", "1 = 1"),
                Self::Any(parts) => push_all(sql, columns, parts, " OR ", "1 = 0"),
                Self::Not(part) => {
                    sql.push("(NOT ");
                    part.push(sql, columns);
                    sql.push(")");
                }
                Self::Unknown => {
                    sql.push_sql(UNKNOWN);
                }
            }
        }
    }

    /// One parameter however many ids there are: engines limit the number of parameters.
    fn push_ids(sql: &mut SqlBuilder, column: Option<FilterColumn>, ids: &[Box<str>]) {
        let list = |ids: &mut dyn Iterator<Item = String>| Value::from_iter(ids).to_string();
        match column {
            None => {
                sql.push_sql(UNKNOWN);
            }
            Some(FilterColumn::Text(column)) => {
                sql.push("(").push(column).push_sql(Sql::Per {
                    pg: " IN (SELECT jsonb_array_elements_text(CAST(",
                    lite: " IN (SELECT value FROM json_each(",
                });
                sql.value(list(&mut ids.iter().map(ToString::to_string)));
                sql.push_sql(Sql::Per { pg: " AS jsonb))))", lite: ")))" });
            }
            Some(FilterColumn::Uuid(column)) => {
                let uuids = ids.iter().filter_map(|id| Uuid::try_parse(id).ok());
                sql.push("(").push(column).push_sql(Sql::Per {
                    pg: " IN (SELECT CAST(one AS uuid) FROM jsonb_array_elements_text(CAST(",
                    lite: " IN (SELECT unhex(value) FROM json_each(",
                });
                sql.value(list(&mut uuids.map(|id| id.simple().to_string())));
                sql.push_sql(Sql::Per { pg: " AS jsonb)) AS one))", lite: ")))" });
            }
        }
    }

    fn push_all(
        sql: &mut SqlBuilder,
        columns: &FilterColumns<'_>,
        parts: &[FilterExpr],
        between: &'static str,
        empty: &'static str,
    ) {
        sql.push("(");
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                sql.push(between);
            }
            part.push(sql, columns);
        }
        if parts.is_empty() {
            sql.push(empty);
        }
        sql.push(")");
    }
}
