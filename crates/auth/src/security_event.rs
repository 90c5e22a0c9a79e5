//! What happens around signing in and is on record: one table, from which `docs/security-events.md` is made.

/// A kind of security event: an action of the audit trail that whoever watches over an installation wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityEvent {
    /// The action, as the trail spells it.
    pub action: &'static str,
    /// The kind of thing it happened to.
    pub target: &'static str,
    /// What it means, and which facts come with it.
    pub meaning: &'static str,
}

const fn event(action: &'static str, target: &'static str, meaning: &'static str) -> SecurityEvent {
    SecurityEvent { action, target, meaning }
}

/// Every action that this crate records, sorted.
pub const SECURITY_EVENTS: &[SecurityEvent] = &[
    event(
        "api_key.create",
        "api_key",
        "Somebody made an API key: for themselves, for somebody else or for a service account. Its fields, never its secret.",
    ),
    event(
        "api_key.refuse",
        "api_key",
        "A key that exists was named and refused, at most one row a minute for each key and reason. `reason`: `secret` is wrong, or the \
         one before a rotation and too old; `revoked`; `inactive`; `expired`; `owner` is disabled; `address` is not allowed.",
    ),
    event(
        "api_key.revoke",
        "api_key",
        "An API key was revoked: it stops within a second. `revoke_reason`: by somebody (`revoked`), or with its owner, who was \
         disabled (`owner_disabled`), removed (`owner_deleted`) or left the organisation (`membership_ended`).",
    ),
    event(
        "api_key.rotate",
        "api_key",
        "Somebody gave an API key another secret; the one before is good until `previous_until`.",
    ),
    event(
        "api_key.update",
        "api_key",
        "Somebody changed what an API key may do, from where, how often or how long, or switched it on or off.",
    ),
    event(
        "auth.bootstrap_failed",
        "installation",
        "Somebody presented a wrong bootstrap secret. What comes beyond the limit is refused and not recorded.",
    ),
    event(
        "auth.email_change",
        "person",
        "A mailed link gave an account another e-mail address. Links that were mailed to the old one are void.",
    ),
    event(
        "auth.email_change_failed",
        "person",
        "The present password that a change of address asks for was wrong. Counts like a failed sign-in, with the same facts.",
    ),
    event(
        "auth.email_change_request",
        "person",
        "Somebody asked for another e-mail address for their account.",
    ),
    event("auth.email_verify", "person", "A mailed link proved that mail to an address arrives."),
    event("auth.email_verify_request", "person", "Somebody asked for a link that proves their address."),
    event(
        "auth.login",
        "session",
        "Somebody signed in. `sessions_ended`: how many older sessions made room; `credential`: `cookie` where one carries the \
         session.",
    ),
    event(
        "auth.login_failed",
        "person",
        "Name or password was wrong, or the person may not sign in; without an id when nobody has the name. `failures` in a \
         row; `known_device`; `account_locked_until`, `client_locked_until`, `address_locked_until` and `device_locked_until` \
         when this try began such a lock. Tries during a lock are refused and not recorded.",
    ),
    event(
        "auth.login_refused",
        "person",
        "The password was right, and the person was sent away all the same. `reason`: `must_change_password`, \
         `no_membership`, `org_code_required`, `not_a_member`, or `password_not_own` of who would join an organisation.",
    ),
    event("auth.logout", "session", "Somebody signed out."),
    event(
        "auth.password_change",
        "person",
        "Somebody changed their own password, also when they had to. `sessions_ended`; `goes_on_as`: the id under which the \
         session that asked goes on, with new tokens or a new cookie.",
    ),
    event(
        "auth.password_change_failed",
        "person",
        "The present password that a change asks for was wrong. Counts like a failed sign-in, with the same facts.",
    ),
    event(
        "auth.password_import",
        "person",
        "A person was taken over from a replaced system with the password they had there. `scheme` of its hash.",
    ),
    event(
        "auth.password_proof_failed",
        "person",
        "The present password that is asked again before an account is deleted was wrong. Counts like a failed sign-in, with the \
         same facts.",
    ),
    event(
        "auth.password_reset",
        "person",
        "A mailed link set a new password. Everything issued before is void.",
    ),
    event(
        "auth.password_reset_refused",
        "person",
        "A mailed link was good when it was presented, and used or overtaken a moment later.",
    ),
    event(
        "auth.password_reset_request",
        "person",
        "Somebody asked for a link that resets a password; without an id when nobody has the address. `link_sent`: whether one \
         was mailed, or that there is no password to reset. From the sixth within an hour on nothing is mailed, and nothing \
         recorded.",
    ),
    event(
        "auth.password_set",
        "person",
        "Somebody else or a command set a password. Everything issued before is void. `must_change_password`.",
    ),
    event(
        "auth.register_request",
        "person",
        "Somebody asked for an account, where everybody may; with an id when the address has one. `link_sent`: whether a link that \
         makes the account was mailed, or that there is one. From the sixth within an hour on nothing is mailed, and nothing \
         recorded.",
    ),
    event(
        "auth.step_up",
        "session",
        "Somebody proved again who they are, in a service that asks for it. The session goes on under a new id, and the one it \
         `replaces` is void.",
    ),
    event(
        "auth.step_up_failed",
        "person",
        "The password that a step-up asks for was wrong. Counts like a failed sign-in, with the same facts.",
    ),
    event(
        "auth.switch_org",
        "session",
        "Somebody went on in another of their organisations. `session`: `began` in the trail of that one, `ended` in the trail of the \
         one that was left.",
    ),
    event(
        "auth.tenant_end",
        "org",
        "Everything that was issued for an organisation ended with it: `sessions`, `api_keys` and `service_accounts` say how many. Keys \
         and sessions have the reason `tenant_ended`, and no rows of their own.",
    ),
    event(
        "auth.tenant_resume",
        "org",
        "Service accounts that were disabled with their organisation are active again: `service_accounts` says how many.",
    ),
    event("auth.unlock", "person", "Somebody ended the lock of an account."),
    event("credential.create", "credential", "Somebody gave a person a password who had none."),
    event(
        "credential.delete",
        "credential",
        "Somebody removed a person's password. Everything issued before is void.",
    ),
    event(
        "credential.update",
        "credential",
        "Somebody changed a person's credential: `password_changed`, `unlocked`, and the fields that differ. Switched off, \
         everything issued before is void.",
    ),
    event("person.create", "person", "Somebody added a person."),
    event("person.delete", "person", "Somebody removed a person with everything issued to them."),
    event(
        "person.update",
        "person",
        "Somebody changed name, address, duty to change the password, or status. Disabling ends everything, and so does the \
         duty.",
    ),
    event(
        "sealed_secret.create",
        "sealed_secret",
        "A process made a secret that all processes share, at the first start.",
    ),
    event("service_account.create", "service_account", "Somebody made a service account."),
    event(
        "service_account.delete",
        "service_account",
        "Somebody removed a service account with its API keys.",
    ),
    event(
        "service_account.grant",
        "service_account",
        "Somebody said anew at which audiences a service account has which operations: `grants` before and after. Its tokens are \
         over.",
    ),
    event(
        "service_account.update",
        "service_account",
        "Somebody renamed or described a service account anew, or switched it on or off with all its keys.",
    ),
    event(
        "service_key.create",
        "service_key",
        "Somebody registered a public key of a service account: requests that are signed with the other half act for it.",
    ),
    event(
        "service_key.revoke",
        "service_key",
        "Somebody revoked a key of a service account. Tokens of the account are over with it.",
    ),
    event(
        "service_token.issue",
        "service_account",
        "A service got a token of a few minutes: `audience`, `operations` and `jti`.",
    ),
    event(
        "service_token.refuse",
        "service_account",
        "A service asked for a token that the registry does not have for it, or its key not: `audience` and `operations`.",
    ),
    event(
        "session.reuse_detected",
        "session",
        "A refresh token was used a second time: its session has been ended.",
    ),
    event(
        "session.revoke",
        "session",
        "Somebody ended a session, their own or another's, in the trail of the organisation that it was begun for. `person_id` when another's.",
    ),
    event(
        "session.revoke_all",
        "person",
        "Somebody ended the sessions that a person has for an organisation. `sessions`.",
    ),
    event(
        "session.revoke_others",
        "person",
        "Somebody ended their other sessions: in the trail of each organisation those that were begun for it. `sessions`.",
    ),
    event(
        "session.rotate",
        "session",
        "A session goes on under a new id because what its person may do has changed; the one it `replaces` is void. Services \
         ask for it; the control plane looks roles up at every request instead.",
    ),
    event(
        "setup_token.create",
        "setup_token",
        "A start of an installation without people made the one-time link.",
    ),
    event("setup_token.redeem", "setup_token", "The one-time link made the first administrator."),
    event(
        "signing_key.create",
        "signing_key",
        "A process made the next key that signs access tokens: the first, or a rotation.",
    ),
    event("signing_key.revoke", "signing_key", "Somebody withdrew a key: its tokens stop within a second."),
];
