use axum::routing::MethodFilter;
use http::Method;
use stylobate_tower_middleware::Permission;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        Content, Ref, RefOr, Required, ResponseBuilder, Schema,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type},
    },
};

use super::{IdKind, IdPosition};

/// One route: method, path template, permission, and its documentation.
pub struct Route {
    method: Method,
    path: &'static str,
    permission: Permission,
    is_deprecated: bool,
    reads_credential: bool,
    takes_internal_secret: bool,
    pub(super) ids: Vec<(IdPosition, &'static str, IdKind)>,
    pub(super) no_ids: Vec<&'static str>,
    pub(super) operation: Operation,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

/// What lists take beside their filters.
const PAGING: &[(&str, Type, &str)] = &[
    ("limit", Type::Integer, "How many, 1 to 200; 50 unless asked."),
    ("cursor", Type::String, "Where the page begins: the `next_cursor` of the one before."),
    ("order_by", Type::String, "By what it is ordered, where there is a choice."),
    ("order_dir", Type::String, "`asc` or `desc`."),
    ("include_total", Type::Boolean, "Whether to count all of them."),
];

/// A row of the test matrix.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RouteRow {
    /// The method.
    pub method: String,
    /// The path template.
    pub path: &'static str,
    /// The permission: `public: <reason>`, `any credential`, `authenticated` (a person) or a key.
    pub permission: String,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $method:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(path: &'static str, permission: Permission) -> Self {
            Self::new(Method::$method, path, permission)
        }
    )*};
}

impl Route {
    fn new(method: Method, path: &'static str, permission: Permission) -> Self {
        let parameters =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(|name| {
                let id = ObjectBuilder::new().schema_type(Type::String).format(Some(
                    utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Uuid),
                ));
                Parameter::from(
                    ParameterBuilder::new()
                        .name(name)
                        .parameter_in(ParameterIn::Path)
                        .required(Required::True)
                        .schema(Some(id.build())),
                )
            });
        let operation = OperationBuilder::new().parameters(Some(parameters.collect::<Vec<_>>())).build();
        let reads_credential = !matches!(permission, Permission::Public(_));
        let schemas = Vec::new();
        Self {
            method,
            path,
            permission,
            is_deprecated: false,
            reads_credential,
            takes_internal_secret: false,
            ids: Vec::new(),
            no_ids: Vec::new(),
            operation,
            schemas,
        }
    }

    methods! {
        /// A `GET` route; it also answers `HEAD`.
        get => GET,
        /// A `POST` route.
        post => POST,
        /// A `PUT` route.
        put => PUT,
        /// A `PATCH` route.
        patch => PATCH,
        /// A `DELETE` route.
        delete => DELETE,
    }

    /// What it does, in one line.
    #[must_use]
    pub fn summary(mut self, text: &'static str) -> Self {
        self = self.documented(|operation| operation.summary(Some(text)));
        self
    }

    /// Under which heading it is documented.
    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self = self.documented(|operation| operation.tag(tag));
        self
    }

    /// It still answers, but another route is the one to use.
    #[must_use]
    pub fn deprecated(mut self) -> Self {
        self.is_deprecated = true;
        self = self.documented(|operation| operation.deprecated(Some(utoipa::openapi::Deprecated::True)));
        self
    }

    /// It is public, and still looks at who asks: others answer without waiting for a credential to be judged.
    #[must_use]
    pub fn reads_credential(mut self) -> Self {
        self.reads_credential = true;
        self
    }

    /// Programs of the operator may call it with the internal secret instead of a caller who has the permission.
    #[must_use]
    pub fn or_internal_secret(mut self) -> Self {
        self.takes_internal_secret = true;
        self
    }

    /// It takes a JSON body of type `T`.
    #[must_use]
    pub fn body<T: ToSchema>(self) -> Self {
        self.body_as::<T>("application/json")
    }

    /// It takes a form with the fields of `T`.
    #[must_use]
    pub fn form<T: ToSchema>(self) -> Self {
        self.body_as::<T>("application/x-www-form-urlencoded")
    }

    fn body_as<T: ToSchema>(mut self, media: &str) -> Self {
        let content = Content::new(Some(self.refer::<T>()));
        let body = RequestBodyBuilder::new().content(media, content).required(Some(Required::True));
        self = self.documented(|operation| operation.request_body(Some(body.build())));
        self
    }

    /// It takes the optional header `name`.
    #[must_use]
    pub fn header(mut self, name: &'static str, meaning: &'static str) -> Self {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(meaning))
            .schema(Some(text.build()));
        self = self.documented(|operation| operation.parameter(parameter));
        self
    }

    /// It takes the query parameters of `T`.
    #[must_use]
    pub fn query<T: IntoParams>(mut self) -> Self {
        for parameter in T::into_params(|| Some(ParameterIn::Query)) {
            self = self.documented(|operation| operation.parameter(parameter));
        }
        self
    }

    /// What it takes at `position` by `name` is the id of a `kind`. To be said where paths and names do not tell: a parameter
    /// `{id}` is of what the segment before it names, anything else of what its own name says.
    #[must_use]
    pub fn id(mut self, position: IdPosition, name: &'static str, kind: IdKind) -> Self {
        self.ids.push((position, name, kind));
        self
    }

    /// The parameter or field `name` is no id, but what `meaning` says.
    #[must_use]
    pub fn no_id(mut self, name: &'static str, meaning: &'static str) -> Self {
        self.no_ids.push(name);
        for parameter in self.operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter
                && parameter.name == name
            {
                parameter.description = Some(meaning.to_owned());
                parameter.schema = Some(ObjectBuilder::new().schema_type(Type::String).build().into());
            }
        }
        self
    }

    /// It answers `status` with a JSON body of type `T`.
    #[must_use]
    pub fn returns<T: ToSchema>(mut self, status: u16) -> Self {
        let content = Content::new(Some(self.refer::<T>()));
        let response =
            ResponseBuilder::new().description(describe(status)).content("application/json", content);
        self = self.documented(|operation| operation.response(status.to_string(), response.build()));
        self
    }

    /// It answers 200 with a page of `T`, and takes the query parameters of paging.
    #[must_use]
    pub fn returns_page<T: ToSchema>(mut self) -> Self {
        // A list that pages in its own way says so with its query.
        if self.parameters().all(|parameter| parameter.name != "cursor") {
            for (name, kind, meaning) in PAGING {
                let value = ObjectBuilder::new().schema_type(kind.clone());
                let parameter = ParameterBuilder::new()
                    .name(*name)
                    .parameter_in(ParameterIn::Query)
                    .required(Required::False)
                    .description(Some(*meaning))
                    .schema(Some(value.build()));
                self = self.documented(|operation| operation.parameter(parameter));
            }
        }
        self.returns_whole_page::<T>()
    }

    /// It answers 200 with all of `T` on one page.
    #[must_use]
    pub fn returns_whole_page<T: ToSchema>(mut self) -> Self {
        let text = |nullable: bool| {
            let mut types = vec![Type::String];
            if nullable {
                types.push(Type::Null);
            }
            ObjectBuilder::new().schema_type(SchemaType::from_iter(types))
        };
        let item = self.refer::<T>();
        let page = ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(item))
            .required("items")
            .property("next_cursor", text(true))
            .required("next_cursor")
            .property("total", ObjectBuilder::new().schema_type(Type::Integer));
        let response = ResponseBuilder::new()
            .description("A page of the list")
            .content("application/json", Content::new(Some(page.build())));
        self = self.documented(|operation| operation.response("200", response.build()));
        self
    }

    /// It answers `status` with something that is not JSON, or with nothing when `media_type` is `None`.
    #[must_use]
    pub fn answers(mut self, status: u16, media_type: Option<&'static str>) -> Self {
        let mut response = ResponseBuilder::new().description(describe(status));
        if let Some(media_type) = media_type {
            let text = ObjectBuilder::new().schema_type(Type::String);
            response = response.content(media_type, Content::new(Some(text.build())));
        }
        self = self.documented(|operation| operation.response(status.to_string(), response.build()));
        self
    }

    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        RefOr::Ref(Ref::from_schema_name(name))
    }

    fn documented(mut self, change: impl FnOnce(OperationBuilder) -> OperationBuilder) -> Self {
        self.operation = change(OperationBuilder::from(self.operation)).build();
        self
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        let all = self.operation.parameters.iter().flatten();
        all.filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
    }

    /// The names of its query parameters.
    pub(super) fn query_names(&self) -> Vec<&str> {
        let in_query = self.parameters().filter(|parameter| parameter.parameter_in == ParameterIn::Query);
        in_query.map(|parameter| parameter.name.as_str()).collect()
    }

    pub(super) fn is_deprecated(&self) -> bool {
        self.is_deprecated
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    /// Whether it does not care who asks.
    pub(super) fn is_open(&self) -> bool {
        !self.reads_credential
    }

    /// What it asks of its caller.
    #[must_use]
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Whether the [internal secret](Self::or_internal_secret) stands for the permission.
    #[must_use]
    pub fn takes_internal_secret(&self) -> bool {
        self.takes_internal_secret
    }

    pub(super) fn row(&self) -> RouteRow {
        let permission = match self.permission {
            Permission::Public(reason) => format!("public: {reason}"),
            Permission::Authenticated => "authenticated".to_owned(),
            Permission::AnyCredential => "any credential".to_owned(),
            Permission::Key(key) => key.to_owned(),
        };
        RouteRow { method: self.method.to_string(), path: self.path, permission }
    }

    pub(super) fn method_filter(&self) -> MethodFilter {
        // The constructors make no others.
        MethodFilter::try_from(self.method.clone()).unwrap_or(MethodFilter::GET)
    }
}

fn describe(status: u16) -> &'static str {
    match status {
        200 => "Done",
        201 => "Created",
        202 => "Accepted",
        204 => "Done, nothing to return",
        303 => "See the page named by Location",
        _ => "Answered",
    }
}
