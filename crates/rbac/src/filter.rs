use stylobate_core::Subject;

use crate::Assignee;

/// Which things of a list a principal may use a permission on, as [`Engine::list_filter`](crate::Engine::list_filter) says.
///
/// It never lets through what a check of the single thing refuses; a condition that a filter cannot express lets nothing
/// through when it allows, and everything it may be about is kept out when it denies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListFilter {
    /// All of them.
    All,
    /// None of them.
    Nothing,
    /// Those of which this holds.
    Matching(FilterExpr),
}

/// A condition on the things of a list.
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
    /// It does not hold. What is not known of a thing (a column that is NULL or is not there) counts as holding.
    Not(Box<FilterExpr>),
}

/// The columns of a listing's statement that a [`ListFilter`] may compare.
#[derive(Debug, Clone, Copy)]
pub struct FilterColumns<'a> {
    /// The kind of the things, as [`Resource::kind`](crate::Resource) has it.
    pub kind: &'a str,
    /// The expression with a thing's id, as text or UUID.
    pub id: Option<FilterColumn>,
    /// The expression with the id of the person who owns it: a UUID.
    pub owner: Option<&'static str>,
    /// The expressions of attributes by their names, as text.
    pub attributes: &'a [(&'a str, &'static str)],
}

/// The expression with an id.
#[derive(Debug, Clone, Copy)]
pub enum FilterColumn {
    /// A text.
    Text(&'static str),
    /// A UUID; ids that are none match nothing.
    Uuid(&'static str),
}

impl ListFilter {
    pub(crate) fn for_system(subject: &Subject) -> Option<Self> {
        (*subject == Subject::System).then_some(Self::All)
    }
}
