use std::collections::HashMap;

use http::Method;

use crate::Error;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Nothing, for the reason given: who reads the table of routes should not have to guess.
    Public(&'static str),
    /// Being a person who signed in: what is done concerns the caller alone. API keys, service accounts and credentials that
    /// scopes narrow are refused, because there is no permission that their scopes could be held against.
    Authenticated,
    /// Any credential, of whomever: what is told is about the credential itself.
    AnyCredential,
    /// This permission, in the caller's tenant.
    Key(&'static str),
}

/// The permission of each method of each route template: what the guard asks about. Paths of requests are never looked
/// up here, only templates that the router has matched (SECURITY C22).
#[derive(Debug, Clone, Default)]
pub struct RoutePermissions {
    routes: HashMap<String, Vec<(Method, Permission)>>,
}

/// What the table says about a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Permission(Permission),
    /// The route exists without this method; these are its methods, for `Allow`.
    OtherMethods(String),
    /// Nobody said what the route asks.
    Unstated,
}

impl RoutePermissions {
    /// An empty table: everything is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// States what `method` of the route `path` (its template, as the router matches it) asks.
    ///
    /// # Errors
    /// [`Error::PermissionTwice`] when that has been stated already.
    pub fn add(
        &mut self,
        method: Method,
        path: impl Into<String>,
        permission: Permission,
    ) -> Result<(), Error> {
        let path = path.into();
        let methods = self.routes.entry(path.clone()).or_default();
        if methods.iter().any(|(known, _)| *known == method) {
            return Err(Error::PermissionTwice { method: method.to_string(), path });
        }
        methods.push((method, permission));
        Ok(())
    }

    /// All statements.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Method, Permission)> {
        self.routes.iter().flat_map(|(path, methods)| {
            methods.iter().map(move |(method, permission)| (path.as_str(), method, *permission))
        })
    }

    pub(crate) fn asked(&self, path: &str, method: &Method) -> Asked {
        let Some(methods) = self.routes.get(path) else { return Asked::Unstated };
        let stated =
            |wanted: &Method| methods.iter().find(|(known, _)| known == wanted).map(|(_, found)| *found);
        // axum answers HEAD with the handler of GET.
        let head = || if *method == Method::HEAD { stated(&Method::GET) } else { None };
        match stated(method).or_else(head) {
            Some(permission) => Asked::Permission(permission),
            None => {
                let names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
                Asked::OtherMethods(names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_without_a_statement_is_refused() {
        let mut table = RoutePermissions::new();
        table.add(Method::GET, "/roles/{id}", Permission::Key("role.read")).unwrap();
        let named = Asked::Permission(Permission::Key("role.read"));
        assert_eq!(table.asked("/roles/{id}", &Method::GET), named);
        assert_eq!(table.asked("/roles/{id}", &Method::HEAD), named);
        assert_eq!(table.asked("/roles/{id}", &Method::DELETE), Asked::OtherMethods("GET".into()));
        assert_eq!(table.asked("/Roles/{id}", &Method::GET), Asked::Unstated);
    }

    #[test]
    fn a_route_has_one_permission() {
        let mut table = RoutePermissions::new();
        table.add(Method::GET, "/x", Permission::Public("test")).unwrap();
        let twice = table.add(Method::GET, "/x", Permission::Key("x.read")).unwrap_err();
        assert_eq!((twice.code(), table.iter().count()), ("permission_twice", 1));
    }
}
