//! What the catalogue promises: every right of the replaced systems, and `docs/permissions.md`.

use std::{fmt::Write as _, fs, path::Path};

use stylobate_rbac::{RoleGrants, default_catalogue};

/// The codes of the two systems that had a catalogue. What belonged to their own trade (stock, loans) is left out.
const OWED: &str = "
    org.create org.read org.update org.delete user.invite user.read user.update user.delete role.create role.read
    role.update role.delete role.assign role.revoke role.perm.assign role.perm.revoke perm.create perm.read settings.read
    settings.update privacy.read privacy.update feedback.create feedback.read feedback.update billing.plan.read
    billing.plan.write billing.subscription.read billing.subscription.write billing.invoice.read billing.invoice.write
    support.ticket.create support.ticket.read support.ticket.update support.comment security.alert.read
    security.alert.update audit.log.read activity.login.read activity.user.read search.read
    platform.bootstrap platform.metrics.read platform.organizations.manage platform.users.manage platform.rbac.manage
    platform.audit.view
    system.admin org.dashboard.view org.settings.view org.settings.manage audit_log.view impersonation.perform user.view
    user.manage user.onboard user.mfa.reset role.view role.manage department.view department.manage
    permission_catalog.view acl.manage org.document.view org.document.manage announcement.view announcement.manage
    report.audit.export";

#[test]
fn every_code_of_the_replaced_systems_is_known() {
    let catalogue = default_catalogue();
    let owed: Vec<&str> = OWED.split_whitespace().collect();
    assert_eq!(owed.len(), 47 + 21);
    let missing: Vec<_> = owed.iter().filter(|code| !catalogue.has(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Where the newer of the two names a right, its name is the canonical one.
    let not_canonical: Vec<_> =
        owed[..47].iter().filter(|code| catalogue.find(code).is_none_or(|one| one.key != **code)).collect();
    assert!(not_canonical.is_empty(), "{not_canonical:?}");
    let undescribed: Vec<_> =
        catalogue.permissions().iter().filter(|one| one.description.is_empty()).collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
}

fn page() -> String {
    let catalogue = default_catalogue();
    let mut page = String::from(
        "# Permissions\n\n\
         What code asks for, and what administrators hand out. A *synonym* means the same right: it may be granted as a\n\
         scope and asked for, and a role that was carried over from another system may name it. A name that is a synonym of\n\
         several permissions stands for all of them together. `user.*` covers every name that begins with `user.`, synonyms\n\
         included.\n\n\
         Permissions *of the platform* open what is not one organisation's own: only platform roles give them.\n\n\
         This page is generated from the catalogue in `crates/rbac/src/catalogue/defaults.rs`; a test holds them together\n\
         (`UPDATE_DOCS=1 cargo test -p stylobate-rbac docs` writes it anew). The control plane adds\n\
         `platform.diagnostics`. Which route asks which permission is in the API document (`x-permission`) and in\n\
         `tests/tests/it/snapshots/it__routes__permissions_of_routes.snap`.\n\n\
         | permission | resource | action | allows to | synonyms | given by |\n|---|---|---|---|---|---|\n",
    );
    for one in catalogue.permissions() {
        let synonyms: Vec<_> = one.synonyms.iter().map(|name| format!("`{name}`")).collect();
        let (key, resource, action, description) = (one.key, one.resource(), one.action(), one.description);
        let given = if one.is_platform { "platform roles" } else { "any role" };
        let synonyms = synonyms.join(" ");
        writeln!(page, "| `{key}` | {resource} | {action} | {description} | {synonyms} | {given} |").unwrap();
    }
    page.push_str(
        "\n## Roles to begin with\n\nOrganisations change theirs as they like; a later version adds to `admin` what is new, and \
         gives nothing back that was taken.\n\n| role | of | for | begins with |\n|---|---|---|---|\n",
    );
    for role in catalogue.roles() {
        let grants = match role.grants {
            RoleGrants::AllTenant => "every permission above that any role gives".to_owned(),
            RoleGrants::Everything => "everything there is, now and later (`*`)".to_owned(),
            RoleGrants::Keys(keys) => keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" "),
        };
        let of = if role.is_platform { "the platform" } else { "each organisation" };
        writeln!(page, "| `{}` | {of} | {} | {grants} |", role.name, role.description).unwrap();
    }
    page
}

#[test]
fn the_docs_page_is_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/permissions.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run with UPDATE_DOCS=1");
}
