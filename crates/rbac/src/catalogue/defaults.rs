use super::{Catalogue, PermissionDef, RoleDef, RoleGrants};

/// The permissions of the platform and of the product on it. Where several older systems named the same right
/// differently, one name is canonical and the others are synonyms; a name that meant several rights at once
/// (`user.manage`) is a synonym of each of them.
const DEFAULT_PERMISSIONS: &[PermissionDef] = &[
    // People and how they sign in.
    PermissionDef::new("user.create", "Create people").also(&[
        "people.create",
        "people:write",
        "people.write",
        "write:users",
        "user.manage",
    ]),
    PermissionDef::new("user.read", "See people").also(&[
        "user.view",
        "people.read",
        "people:read",
        "read:people",
        "read:users",
    ]),
    PermissionDef::new("user.update", "Change people").also(&[
        "people.update",
        "people:write",
        "people.write",
        "write:users",
        "user.manage",
    ]),
    PermissionDef::new("user.delete", "Delete people").also(&[
        "people.delete",
        "people:write",
        "people.write",
        "delete:users",
        "user.manage",
    ]),
    PermissionDef::new("user.invite", "Invite people").also(&["user.onboard", "people.invite"]),
    PermissionDef::new("user.unlock", "Let people sign in again whom wrong passwords locked out")
        .also(&["auth:manage"]),
    PermissionDef::new("user.credential.create", "Give people credentials to sign in with")
        .also(&["auth:manage"]),
    PermissionDef::new("user.credential.read", "See how people sign in, and who is locked out")
        .also(&["auth:manage"]),
    PermissionDef::new("user.credential.update", "Change the credentials of people").also(&["auth:manage"]),
    PermissionDef::new("user.credential.delete", "Remove the credentials of people").also(&["auth:manage"]),
    PermissionDef::new("user.mfa.reset", "Take second factors from people who have lost them")
        .also(&["auth:manage"]),
    PermissionDef::new("session.read", "See where people are signed in").also(&["auth:manage"]),
    PermissionDef::new("session.revoke", "End the sessions of people").also(&["auth:manage"]),
    PermissionDef::new("api_key.create", "Make API keys for people and service accounts")
        .also(&["auth:manage"]),
    PermissionDef::new("api_key.read", "See API keys, and how often they were used").also(&["auth:manage"]),
    PermissionDef::new("api_key.update", "Change API keys, and give them other secrets")
        .also(&["auth:manage"]),
    PermissionDef::new("api_key.delete", "Revoke API keys").also(&["auth:manage"]),
    PermissionDef::new("service_account.read", "See service accounts, and what they may do where")
        .also(&["auth:manage"]),
    PermissionDef::new(
        "service_account.manage",
        "Make, change and remove service accounts, and say what they may do where",
    )
    .also(&["auth:manage"]),
    PermissionDef::new("token.introspect", "Ask whether a token is good, and what it says"),
    PermissionDef::new("token.revoke", "Stop tokens and API keys that one holds and that are others'"),
    PermissionDef::new("impersonation.perform", "Act as somebody else, on the record"),
    // Who may do what.
    PermissionDef::new("role.create", "Create roles").also(&["rbac:manage", "role.manage"]),
    PermissionDef::new("role.read", "See roles, who has them, and why somebody may or may not do something")
        .also(&["role.view", "rbac:read", "rbac:manage"]),
    PermissionDef::new("role.update", "Change roles").also(&["rbac:manage", "role.manage"]),
    PermissionDef::new("role.delete", "Delete roles").also(&["rbac:manage", "role.manage"]),
    PermissionDef::new("role.assign", "Give roles to people").also(&["rbac:manage", "role.manage"]),
    PermissionDef::new("role.revoke", "Take roles from people").also(&["rbac:manage", "role.manage"]),
    PermissionDef::new("role.perm.assign", "Attach permissions and parent roles to roles")
        .also(&["rbac:manage", "role.manage"]),
    PermissionDef::new("role.perm.revoke", "Detach permissions and parent roles from roles")
        .also(&["rbac:manage", "role.manage"]),
    PermissionDef::new("group.create", "Create groups"),
    PermissionDef::new("group.read", "See groups, and who is in them"),
    PermissionDef::new("group.update", "Change groups, and say who is in them"),
    PermissionDef::new("group.delete", "Delete groups"),
    PermissionDef::new("perm.create", "Create permissions").also(&["rbac:manage"]),
    PermissionDef::new("perm.read", "See permissions").also(&[
        "permission_catalog.view",
        "rbac:read",
        "rbac:manage",
    ]),
    PermissionDef::new("perm.update", "Change permissions").also(&["rbac:manage"]),
    PermissionDef::new("perm.delete", "Delete permissions").also(&["rbac:manage"]),
    PermissionDef::new(
        "acl.manage",
        "Allow or deny somebody something beside all roles, in general or about one resource",
    )
    .also(&["rbac:manage"]),
    // Organisations.
    PermissionDef::new("org.create", "Create organisations").platform(),
    PermissionDef::new("org.read", "See the organisation"),
    PermissionDef::new("org.update", "Change the organisation"),
    PermissionDef::new("org.delete", "Deactivate the organisation"),
    PermissionDef::new("org.dashboard.view", "See the dashboard of the organisation"),
    PermissionDef::new("org.document.view", "See the documents of the organisation"),
    PermissionDef::new("org.document.manage", "Add, change and remove documents of the organisation"),
    PermissionDef::new("department.view", "See departments"),
    PermissionDef::new(
        "department.manage",
        "Create, change and remove departments, and say who belongs to them",
    ),
    PermissionDef::new(
        "announcement.view",
        "See announcements that are not published yet, and who has read them",
    ),
    PermissionDef::new("announcement.manage", "Write, publish and archive announcements"),
    PermissionDef::new("settings.read", "See the settings of the organisation").also(&[
        "org.settings.view",
        "settings:read",
        "settings:manage",
    ]),
    PermissionDef::new("settings.update", "Change the settings of the organisation")
        .also(&["org.settings.manage", "settings:manage"]),
    PermissionDef::new("privacy.read", "See the privacy settings of the organisation"),
    PermissionDef::new("privacy.update", "Change the privacy settings of the organisation"),
    // What happened.
    PermissionDef::new("audit.log.read", "Read the audit trail").also(&[
        "audit_log.view",
        "audit.read",
        "audit:read",
    ]),
    PermissionDef::new("audit.log.export", "Export the audit trail").also(&[
        "report.audit.export",
        "audit.export",
        "audit:export",
    ]),
    PermissionDef::new("activity.login.read", "See when and from where people signed in"),
    PermissionDef::new("activity.user.read", "See what people did"),
    PermissionDef::new("security.alert.read", "See security alerts"),
    PermissionDef::new("security.alert.update", "Work on security alerts"),
    // Business with customers.
    PermissionDef::new("feedback.create", "Give feedback"),
    PermissionDef::new("feedback.read", "Read the feedback that was given"),
    PermissionDef::new("feedback.update", "Work on the feedback that was given"),
    PermissionDef::new("support.ticket.create", "Open support tickets"),
    PermissionDef::new("support.ticket.read", "See support tickets"),
    PermissionDef::new("support.ticket.update", "Work on support tickets"),
    PermissionDef::new("support.comment", "Comment on support tickets").about("support.comment", "create"),
    PermissionDef::new("billing.plan.read", "See the plans on offer"),
    PermissionDef::new("billing.plan.write", "Change the plans on offer").platform(),
    PermissionDef::new("billing.subscription.read", "See what the organisation subscribes to"),
    PermissionDef::new("billing.subscription.write", "Change what the organisation subscribes to"),
    PermissionDef::new("billing.invoice.read", "See invoices"),
    PermissionDef::new("billing.invoice.write", "Change invoices"),
    // Everything else.
    PermissionDef::new("search.read", "Search"),
    PermissionDef::new("job.read", "See the background jobs of the organisation"),
    PermissionDef::new(
        "job.manage",
        "Call off background jobs of the organisation, and ask for them once more",
    ),
    PermissionDef::new("event.read", "See what happened in the organisation"),
    PermissionDef::new(
        "webhook.read",
        "See the webhooks of the organisation, and the events that were sent to them",
    ),
    PermissionDef::new(
        "webhook.manage",
        "Decide where the events of the organisation are sent: make, change and remove webhooks",
    ),
    PermissionDef::new("notification.create", "Write notifications to members of the organisation"),
    PermissionDef::new("notification.channel.read", "See where the organisation hears what happens"),
    PermissionDef::new(
        "notification.channel.manage",
        "Decide where the organisation hears what happens: mail, chats and webhooks",
    ),
    PermissionDef::new("notification.template.read", "See what messages of the organisation say"),
    PermissionDef::new("notification.template.manage", "Change what messages of the organisation say"),
    PermissionDef::new("notification.delivery.read", "See what became of messages of the organisation"),
    PermissionDef::new(
        "notification.suppression.manage",
        "See and decide to which addresses the organisation sends nothing",
    ),
    PermissionDef::new("docs.read", "Read the documentation of the API"),
    // What is not one tenant's own.
    PermissionDef::new(
        "platform.bootstrap",
        "Bring the first organisation, the default permissions and the default roles in place",
    )
    .also(&["system.admin"])
    .platform(),
    PermissionDef::new("platform.metrics.read", "Read the metrics of the platform")
        .also(&["metrics.read", "metrics:read", "system.admin"])
        .platform(),
    PermissionDef::new("platform.organizations.manage", "Create, change and remove any organisation")
        .also(&["system.admin"])
        .platform(),
    PermissionDef::new("platform.users.manage", "Create, change and remove people of any organisation")
        .also(&["system.admin"])
        .platform(),
    PermissionDef::new("platform.rbac.manage", "See and decide who may do what in any organisation")
        .also(&["system.admin"])
        .platform(),
    PermissionDef::new("scheduler.read", "See what runs when, and how the queues are doing").platform(),
    PermissionDef::new("scheduler.manage", "Change what runs when, and run it now").platform(),
    PermissionDef::new(
        "platform.jobs.manage",
        "See and steer the queues, and the background jobs of the platform and of any organisation",
    )
    .also(&["system.admin"])
    .platform(),
    PermissionDef::new(
        "platform.events.manage",
        "See who hears what happens in any organisation, and see to it that nothing is left undelivered",
    )
    .also(&["system.admin"])
    .platform(),
    PermissionDef::new("platform.audit.view", "Read the audit trail of any organisation")
        .also(&["system.admin"])
        .platform(),
];

/// The name of the platform role that may do everything.
pub const SUPER_ADMIN: &str = "super_admin";

/// The name of the role of an organisation that those get who join it and are promised no other.
pub const MEMBER: &str = "member";

const DEFAULT_ROLES: &[RoleDef] = &[
    RoleDef {
        name: SUPER_ADMIN,
        description: "May do everything in every tenant",
        grants: RoleGrants::Everything,
        is_platform: true,
    },
    RoleDef {
        name: "admin",
        description: "May do everything in this organisation",
        grants: RoleGrants::AllTenant,
        is_platform: false,
    },
    RoleDef {
        name: "auditor",
        description: "Reads and exports the audit trail",
        grants: RoleGrants::Keys(&["audit.log.read", "audit.log.export"]),
        is_platform: false,
    },
    RoleDef {
        name: MEMBER,
        description: "Belongs to the organisation",
        grants: RoleGrants::Keys(&["docs.read"]),
        is_platform: false,
    },
    RoleDef {
        name: "operator",
        description: "Runs the daily business: people, without deleting them",
        grants: RoleGrants::Keys(&[
            "user.create",
            "user.read",
            "user.update",
            "user.invite",
            "role.read",
            "perm.read",
            "docs.read",
        ]),
        is_platform: false,
    },
    RoleDef {
        name: "support",
        description: "Looks things up for people who ask for help",
        grants: RoleGrants::Keys(&["user.read", "role.read", "perm.read"]),
        is_platform: false,
    },
];

/// The permissions and roles of the platform: identity, access control, organisations, audit, and the products that are
/// built on them. `docs/permissions.md` is this table.
#[must_use]
#[expect(clippy::expect_used, reason = "both tables are constant and a test builds them")]
pub fn default_catalogue() -> Catalogue {
    Catalogue::new(DEFAULT_PERMISSIONS.iter().copied(), DEFAULT_ROLES.iter().copied())
        .expect("constant tables")
}
