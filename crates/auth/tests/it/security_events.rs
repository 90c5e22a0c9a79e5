//! The table of security events: complete, sorted, and the same as `docs/security-events.md`.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use stylobate_auth::SECURITY_EVENTS;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What other crates record that belongs to the same picture: action, folder, meaning.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "acl.clear",
        "crates/rbac",
        "Who left or was removed was taken off all access control lists, in one row. `removed`: from how many.",
    ),
    ("acl.remove", "crates/rbac", "Somebody took an entry off the access control list of a resource."),
    ("acl.set", "crates/rbac", "Somebody allowed or denied a person a permission about one resource."),
    (
        "audit.export",
        "crates/audit",
        "Somebody took a copy of the trail. The filters and the number of rows.",
    ),
    ("group.create", "crates/rbac", "Somebody made a group."),
    ("group.delete", "crates/rbac", "Somebody removed a group with its roles, its rules and its members."),
    ("group.member.add", "crates/rbac", "Somebody put a person or a service account into a group."),
    (
        "group.member.remove",
        "crates/rbac",
        "Somebody took a person or a service account out of a group, or it left the organisation.",
    ),
    ("group.update", "crates/rbac", "Somebody renamed a group or described it anew."),
    (
        "invitation.accept",
        "crates/tenancy",
        "Somebody joined an organisation with an invitation. `person_id`.",
    ),
    ("invitation.create", "crates/tenancy", "Somebody invited an address to an organisation."),
    (
        "invitation.renew",
        "crates/tenancy",
        "Somebody had an invitation mailed again: with another link, good for longer.",
    ),
    (
        "invitation.revoke",
        "crates/tenancy",
        "Somebody took an invitation back, or invited its address anew when its time had passed.",
    ),
    ("member.add", "crates/tenancy", "Somebody with an account became a member of another organisation."),
    ("member.reinstate", "crates/tenancy", "Somebody who was suspended may act in an organisation again."),
    (
        "member.remove",
        "examples/control-plane",
        "Somebody left an organisation, or was taken out of it; the sessions for it ended.",
    ),
    (
        "member.suspend",
        "crates/tenancy",
        "Somebody suspended a member, who may do nothing in the organisation meanwhile.",
    ),
    ("org.activate", "crates/tenancy", "Somebody made an inactive organisation active again."),
    ("org.create", "crates/tenancy", "Somebody made an organisation, or the first start did."),
    ("org.deactivate", "crates/tenancy", "Somebody made an organisation inactive: nobody acts in it."),
    ("org.delete", "crates/tenancy", "The last of an organisation was deleted."),
    ("org.removal_begun", "crates/tenancy", "Somebody had an organisation deleted; nobody undoes it."),
    (
        "org.update",
        "crates/tenancy",
        "Somebody changed the code, the name or the licence of an organisation.",
    ),
    (
        "org_privacy.update",
        "examples/control-plane",
        "Somebody changed what an organisation says about privacy. `version`.",
    ),
    (
        "org_settings.update",
        "examples/control-plane",
        "Somebody changed the settings of an organisation. `version`.",
    ),
    (
        "override.remove",
        "crates/rbac",
        "Somebody took back what a person was allowed or denied beside all roles.",
    ),
    ("override.set", "crates/rbac", "Somebody allowed or denied a person a permission beside all roles."),
    ("perm.create", "crates/rbac", "Somebody made a permission."),
    ("perm.delete", "crates/rbac", "Somebody removed a permission with every rule about it."),
    (
        "perm.update",
        "crates/rbac",
        "Somebody renamed a permission, described it anew, or switched it on or off.",
    ),
    (
        "permission.deny",
        "crates/tower-middleware",
        "A caller asked for something that they have no permission for. `reason`, `missing`, `method`, `route`.",
    ),
    (
        "rbac.casbin_rules.changed",
        "crates/rbac",
        "A program changed rules in the table of casbin. `rules`: how many.",
    ),
    ("rbac.invalidate", "crates/rbac", "Somebody had access policies read anew by every process."),
    (
        "rbac.seed",
        "crates/rbac",
        "A start, a command or the operator brought what was missing of permissions and default roles in place. `added`.",
    ),
    ("rbac.sweep", "crates/rbac", "Rules that ended long ago were removed. How many of each kind."),
    ("role.assign", "crates/rbac", "Somebody gave a role to a person, an API key or a service."),
    (
        "role.assign.update",
        "crates/rbac",
        "Somebody changed when a role ends, or gave it in place of another.",
    ),
    ("role.create", "crates/rbac", "Somebody made a role."),
    ("role.delete", "crates/rbac", "Somebody removed a role with its rules, and from everybody who had it."),
    ("role.parent.add", "crates/rbac", "Somebody had a role inherit the rules of another."),
    ("role.parent.remove", "crates/rbac", "Somebody ended such an inheritance."),
    ("role.perm.assign", "crates/rbac", "Somebody attached a permission to a role."),
    ("role.perm.revoke", "crates/rbac", "Somebody detached a permission from a role."),
    (
        "role.perm.update",
        "crates/rbac",
        "Somebody changed whether or when a role allows a permission, or exchanged it for another.",
    ),
    ("role.revoke", "crates/rbac", "Somebody took a role away."),
    ("role.update", "crates/rbac", "Somebody renamed a role, described it anew, or switched it on or off."),
    (
        "tenant.deny",
        "crates/tower-middleware",
        "A caller named another organisation than the one they act for. `hint`, `method`, `route`.",
    ),
];

/// The text of every source file below `folder` but the table itself.
fn sources(folder: &Path) -> String {
    let (mut folders, mut text) = (vec![folder.to_owned()], String::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && !path.ends_with("security_event.rs")
            {
                let source = fs::read_to_string(path).unwrap();
                // Unit tests stand at the foot, and record nothing.
                text.push_str(source.split("#[cfg(test)]\nmod tests").next().unwrap());
            }
        }
    }
    text
}

/// Every text of the form `noun.verb` that the sources quote.
fn quoted_pairs(sources: &str) -> BTreeSet<&str> {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let is_pair =
        |text: &str| text.split_once('.').is_some_and(|(noun, verb)| is_word(noun) && is_word(verb));
    sources.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).filter(|text| is_pair(text)).collect()
}

#[test]
fn the_table_is_sorted_and_names_each_action_once() {
    for pair in SECURITY_EVENTS.windows(2) {
        assert!(pair[0].action < pair[1].action, "{} {}", pair[0].action, pair[1].action);
    }
}

/// Texts of that form that are no actions: columns, in queries and in errors about bad rows, and settings.
const COLUMNS: &[&str] = &[
    "a.created_at",
    "a.id",
    "api_keys.made_max",
    "api_keys.made_window_seconds",
    "api_keys.per_owner_max",
    "api_keys.requests_per_hour",
    "api_keys.ttl_days",
    "k.created_at",
    "k.id",
    "login_counters.kind",
    // What is told to whoever subscribes; the rows of the trail have other names.
    "password.changed",
    "password.reset",
    "people.status",
    "refresh_families.current_hash",
    "revocations.kind",
    "s.created_at",
    "s.id",
    "service_accounts.status",
    "service_keys.public_key",
];

/// Texts of that form that are told to whoever subscribes; beside each stands an action that is recorded.
const TOLD: &[&str] = &[
    "api_key.created",
    "api_key.revoked",
    "api_key.rotated",
    "api_key.widened",
    "service_account.created",
    "service_account.deleted",
    "service_account.updated",
];

// ASVS 16.3.1
#[test]
fn every_action_that_is_recorded_is_in_the_table() {
    let text = sources(&repository().join("crates/auth/src"));
    let recorded = quoted_pairs(&text);
    for event in SECURITY_EVENTS {
        assert!(recorded.contains(event.action), "nothing records {}", event.action);
        assert!(event.meaning.ends_with('.'), "{}", event.action);
    }
    // Whatever has the form of an action is one, unless it is known to be something else: an action with a noun that the
    // table has not met yet is missed as well.
    for action in &recorded {
        let is_listed = SECURITY_EVENTS.iter().any(|event| event.action == *action);
        let is_known = is_listed || COLUMNS.contains(action) || TOLD.contains(action);
        assert!(is_known, "{action} is not in the table of security events");
    }
    for column in COLUMNS.iter().chain(TOLD) {
        assert!(recorded.contains(column), "nothing says {column} any more");
    }
}

/// Texts of the form of an action that an arm of a `match` gives in those folders, and that are permissions.
const PERMISSIONS: [&str; 4] = ["privacy.read", "privacy.update", "settings.read", "settings.update"];

/// Beside `crates/auth`, the names of permissions look like actions, so that it counts where they stand.
#[test]
fn every_action_that_others_record_is_in_the_table() {
    for pair in OTHERS.windows(2) {
        assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
    }
    let folders: BTreeSet<&str> = OTHERS.iter().map(|(_, folder, _)| *folder).collect();
    for folder in folders {
        let text = sources(&repository().join(folder).join("src"));
        let recorded = recorded(&text);
        for (action, _, meaning) in OTHERS.iter().filter(|(_, of, _)| *of == folder) {
            assert!(recorded.contains(action), "nothing in {folder} records {action}");
            assert!(meaning.ends_with('.'), "{action}");
        }
        for action in recorded {
            let is_listed = OTHERS.iter().any(|(other, ..)| *other == action)
                || SECURITY_EVENTS.iter().any(|event| event.action == action);
            let is_known = is_listed || PERMISSIONS.contains(&action);
            assert!(is_known, "{action}, which {folder} records, is not in the table of security events");
        }
    }
}

/// What is said behind who asks or behind the transaction, as in `AuditEvent::new(context, "noun.verb", …)`, unless it is told to whoever
/// subscribes; and what an arm of a `match` gives.
fn recorded(sources: &str) -> BTreeSet<&str> {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let is_action = |text: &str| text.contains('.') && text.split('.').all(is_word);
    let mut recorded = BTreeSet::new();
    let parts: Vec<&str> = sources.split('"').collect();
    for parts in parts.windows(3) {
        let &[before, text, after] = parts else { continue };
        let before = before.trim_end();
        let is_arm = before.ends_with("=>") || before.ends_with("=> (");
        let call = before.strip_suffix(',').and_then(|before| before.rsplit_once('('));
        let is_record = call.is_some_and(|(name, arguments)| {
            let name =
                name.rsplit(|c: char| !c.is_alphanumeric() && !['_', ':'].contains(&c)).next().unwrap();
            let last = arguments.rsplit([',', '.', '&', ' ']).next().unwrap();
            let is_told = name.starts_with("tell_") || name == "DomainEvent::new";
            ["context", "asking", "tx"].contains(&last) && !is_told
        });
        if is_action(text) && after.starts_with(',') && (is_arm || is_record) {
            recorded.insert(text);
        }
    }
    recorded
}

fn page() -> String {
    let mut page = String::from(
        "# Security events\n\n\
         What is on record about signing in and about who may do what. Each is a row of the audit trail (`GET /audit-events?action=…`)\n\
         with time, actor, address, user agent, request and session; what comes beside is named here. Rows of changes are\n\
         written in the transaction of the change, refusals in one of their own. No row holds a password, a token, a hash or\n\
         the name that somebody typed at sign-in.\n\n\
         The first table is generated from the one in `crates/auth/src/security_event.rs`; a test holds them together\n\
         (`UPDATE_DOCS=1 cargo test -p stylobate-auth --all-features security_events` writes it anew).\n\n\
         ## Signing in, sessions, credentials, keys\n\n| action | happens to | meaning |\n|---|---|---|\n",
    );
    for event in SECURITY_EVENTS {
        writeln!(page, "| `{}` | `{}` | {} |", event.action, event.target, event.meaning).unwrap();
    }
    page.push_str("\n## Permissions, membership, the trail itself\n\n| action | recorded by | meaning |\n|---|---|---|\n");
    for (action, folder, meaning) in OTHERS {
        writeln!(page, "| `{action}` | `{folder}` | {meaning} |").unwrap();
    }
    page
}

#[test]
fn the_docs_page_is_the_table() {
    let path = repository().join("docs/security-events.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page(), "run with UPDATE_DOCS=1");
}
