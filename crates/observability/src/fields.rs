/// The names of fields that mean the same on every line and span, whichever crate writes them.
///
/// The first three are set once on the span around a request or job and appear on every line inside it.
#[derive(Debug)]
pub struct SharedFields;

impl SharedFields {
    /// The request everything on the line was done for (UUID).
    pub const REQUEST_ID: &'static str = "request_id";
    /// The tenant on whose behalf (UUID).
    pub const TENANT: &'static str = "tenant";
    /// Who acts: the id of a person, API key or service (UUID). Never a name or address.
    pub const ACTOR: &'static str = "actor";
    /// What went wrong, with its causes.
    pub const ERROR: &'static str = "error";
    /// A stable error or problem code.
    pub const CODE: &'static str = "code";
    /// The HTTP method.
    pub const METHOD: &'static str = "method";
    /// The route template, never the path.
    pub const ROUTE: &'static str = "route";
    /// The HTTP status.
    pub const STATUS: &'static str = "status";
    /// How long something took, in microseconds.
    pub const DURATION_US: &'static str = "duration_us";
    /// The client's address.
    pub const ADDRESS: &'static str = "address";

    /// The fields that a span hands down to every line inside it, in the order they are written.
    pub const INHERITED: [&'static str; 3] = [Self::REQUEST_ID, Self::TENANT, Self::ACTOR];

    /// All shared names.
    pub const ALL: [&'static str; 10] = [
        Self::REQUEST_ID,
        Self::TENANT,
        Self::ACTOR,
        Self::ERROR,
        Self::CODE,
        Self::METHOD,
        Self::ROUTE,
        Self::STATUS,
        Self::DURATION_US,
        Self::ADDRESS,
    ];
}
