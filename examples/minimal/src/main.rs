//! A service with sign-in, and one route that only holders of a permission may call. See README.md.

use stylobate::{
    Paths, Platform, StartError,
    endpoints::{Flows, Permission, Route, identity_routes, me_routes},
    middleware::CurrentPrincipal,
    rbac::{Catalogue, PermissionDef, default_catalogue},
};

const READ_REPORTS: PermissionDef = PermissionDef::new("reports.read", "Read the reports");

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let catalogue: Catalogue = default_catalogue().extended([READ_REPORTS], [])?;
    let settings = stylobate::Settings::from_env()?;
    let platform = Platform::builder(settings).catalogue(catalogue).start().await?;
    let flows = Flows {
        auth: platform.auth().clone(),
        tenancy: platform.tenancy().clone(),
        db: platform.db().clone(),
        cookies: platform.cookies(),
    };
    let reports = Route::get("/reports", Permission::Key(READ_REPORTS.key));
    let routes =
        identity_routes(&flows)
            .and(me_routes(&flows))
            .add(reports, &(), async |who: CurrentPrincipal| format!("the reports, for {:?}\n", who.subject));
    let router = platform.router(routes, Paths::default())?;
    platform.serve(router).await
}
