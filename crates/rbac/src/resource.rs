use crate::Assignee;

/// The thing that is acted on, as far as rules ask about it.
///
/// Everything is borrowed: asking allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What kind of thing, in the words of the application: `document`, `person`.
    pub kind: &'a str,
    /// Which one; `None` for a thing that is about to be made.
    pub id: Option<&'a str>,
    /// Whose it is.
    pub owner: Option<Assignee>,
    /// What else rules may compare, name and value.
    pub attributes: &'a [(&'a str, &'a str)],
}

impl<'a> Resource<'a> {
    /// A thing of `kind` that rules know nothing about but its `id`.
    #[must_use]
    pub fn new(kind: &'a str, id: &'a str) -> Self {
        Self { kind, id: Some(id), owner: None, attributes: &[] }
    }

    /// The same thing, owned by `owner`.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<Assignee>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The same thing with these `attributes`.
    #[must_use]
    pub fn with(mut self, attributes: &'a [(&'a str, &'a str)]) -> Self {
        self.attributes = attributes;
        self
    }
}
