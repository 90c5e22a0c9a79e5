use std::error::Error as StdError;

use stylobate_core::Problem;

use crate::api_error::log_cause;

/// What one error code looks like to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemRow {
    /// The code that the error itself has.
    pub code: &'static str,
    /// The status it is answered with.
    pub status: u16,
    /// The code that callers see. Several inner situations may look alike from outside, on purpose.
    pub shown: &'static str,
    /// The sentence that callers see. Fixed, so that no value and no inside gets out.
    pub detail: &'static str,
}

/// An error that callers may see as a problem.
pub trait IntoProblem {
    /// What callers see of it. Causes of 500 and 503 are logged here, once.
    fn into_problem(self) -> Problem;
}

/// The problem for an error code: the row of [`PROBLEMS`], or 500 `internal`.
#[must_use]
pub fn problem_for(code: &str) -> Problem {
    match PROBLEMS.iter().find(|row| row.code == code) {
        Some(row) => Problem::new(row.status, row.shown).detail(row.detail),
        None => Problem::internal(),
    }
}

/// The problem for an error; an outage asks the caller to come back, and its cause is logged.
pub(crate) fn problem_of(code: &'static str, error: &(dyn StdError + 'static)) -> Problem {
    let problem = problem_for(code);
    if problem.status >= 500 {
        log_cause(code, error);
    }
    if problem.status == 503 { problem.retry_after(1) } else { problem }
}

const fn row(code: &'static str, status: u16, shown: &'static str, detail: &'static str) -> ProblemRow {
    ProblemRow { code, status, shown, detail }
}

/// A situation that callers see under its own code.
const fn open(code: &'static str, status: u16, detail: &'static str) -> ProblemRow {
    row(code, status, code, detail)
}

/// A situation that looks like a missing row.
const fn hidden(code: &'static str) -> ProblemRow {
    row(code, 404, "not_found", "There is no such resource.")
}

/// Something the service needs is away; which is for the operator.
const fn outage(code: &'static str) -> ProblemRow {
    row(code, 503, "unavailable", "The service cannot do this at the moment.")
}

/// A defect or a broken installation; what it is stands in the log.
const fn inside(code: &'static str) -> ProblemRow {
    row(code, 500, "internal", "The request could not be completed.")
}

/// A field that the form of the request does not allow.
const fn form(code: &'static str) -> ProblemRow {
    row(code, 422, "validation", "The request does not have the expected form.")
}

/// The one table from error codes to statuses, sorted by code. A code that is not here is answered as 500 `internal`.
///
/// `docs/errors.md` is generated from it.
pub const PROBLEMS: &[ProblemRow] = &[
    open("already_assigned", 409, "The role is assigned already."),
    open("already_attached", 409, "The permission is attached already."),
    open("already_in_group", 409, "Whoever is named is in the group already."),
    open("already_inherited", 409, "The role inherits from this role already."),
    open("already_member", 409, "Whoever has the address belongs to the organisation."),
    open("ambiguous_credential", 400, "The request presents more than one credential of a kind."),
    open("api_key_ended", 409, "The API key has ended."),
    open("api_key_limit", 409, "The owner has as many API keys as anybody may have."),
    open("api_key_made_too_many", 429, "Too many API keys were made within a short time."),
    hidden("api_key_not_found"),
    row("api_key_owner_unknown", 422, "validation", "The request does not have the expected form."),
    open("api_key_rotating", 409, "The API key is being rotated already."),
    open("api_key_throttled", 429, "The API key has been used too often."),
    row("api_key_unknown", 401, "unauthenticated", "A valid credential is required."),
    open("audience_refused", 403, "The service has no such operation at this audience."),
    inside("auth_config"),
    open("auth_unavailable", 503, "Credentials cannot be judged at the moment."),
    open("bad_host", 400, "The request names no host, or more than one."),
    open("bad_request", 400, "The request is not understood."),
    open("beyond_own_permissions", 403, "Nobody hands out permissions that they do not have."),
    open("body_broken", 400, "The body ended before it was complete."),
    open("body_timeout", 408, "The body did not arrive in time."),
    open("body_too_large", 413, "The body is larger than this route accepts."),
    open("bootstrap_secret_invalid", 401, "The bootstrap secret is missing or wrong."),
    inside("cookie_invalid"),
    open("credential_exists", 409, "The person has such a credential already."),
    hidden("credential_not_found"),
    open("csrf", 403, "The request comes from another site."),
    form("cursor_invalid"),
    inside("db_bad_row"),
    outage("db_busy"),
    row("db_constraint", 409, "conflict", "The request contradicts what is stored."),
    inside("db_engine"),
    inside("db_forbidden"),
    inside("db_irreversible"),
    inside("db_migrate"),
    hidden("db_not_found"),
    inside("db_participant"),
    outage("db_read_only"),
    row("db_refused", 409, "conflict", "The request contradicts what is stored."),
    outage("db_serialization"),
    inside("db_spoiled"),
    inside("db_statement"),
    outage("db_timeout"),
    outage("db_unavailable"),
    inside("db_unclaimed_events"),
    inside("db_url"),
    form("db_value"),
    open("declared", 409, "This is declared by the program and cannot be changed here."),
    inside("default_org_mismatch"),
    open("draining", 503, "The service stops."),
    open("duplicate_parameter", 400, "A parameter is given more than once."),
    form("email_domain_invalid"),
    form("email_invalid"),
    form("email_local_part_not_ascii"),
    open("email_taken", 409, "Somebody has this e-mail address."),
    form("email_unchanged"),
    inside("event_malformed"),
    inside("event_secret"),
    inside("event_too_large"),
    inside("event_type_twice"),
    inside("event_type_unknown"),
    open("flow_throttled", 429, "This was asked for too often."),
    hidden("foreign_tenant"),
    open("group_full", 409, "The group has as many members as any may have."),
    open("group_limit", 409, "The organisation has as many groups as any may have."),
    open("group_name_taken", 409, "A group of this name exists."),
    form("identifier_blank"),
    form("identifier_empty"),
    form("identifier_invisible_character"),
    form("identifier_too_long"),
    open("internal", 500, "The request could not be completed."),
    open("invalid_credentials", 401, "The username or password is wrong."),
    form("invalid_cursor"),
    form("invalid_filter"),
    open("invitation_closed", 409, "The invitation is not open any more."),
    open("invitation_for_another", 403, "The invitation is for another address."),
    open("invitation_pending", 409, "The address has an open invitation already."),
    row("job_lease_lost", 409, "conflict", "The request contradicts what is stored."),
    open("job_not_unique", 409, "Another job does the same at the moment."),
    open("job_wrong_state", 409, "The job is not in a state in which that can be done."),
    open("last_administrator", 409, "This is the last administrator of the organisation."),
    open("last_super_administrator", 409, "The platform keeps one super administrator who can sign in."),
    open("link_invalid", 403, "The link is not valid any more. Ask for another."),
    outage("login_counters_contended"),
    outage("login_counters_full"),
    inside("login_counters_malformed"),
    outage("login_counters_unavailable"),
    open("login_throttled", 429, "Too many failed logins."),
    open("malformed_json", 400, "The body is not JSON."),
    hidden("member_not_found"),
    open("method_not_allowed", 405, "The resource does not support this method."),
    open("misdirected_request", 421, "The service does not answer for this host."),
    open("must_change_password", 428, "The password has to be changed first."),
    open("no_membership", 403, "The account belongs to no organisation."),
    open("not_a_member", 403, "The account does not belong to this organisation."),
    open("not_a_person", 403, "Only a person can do this."),
    open("not_found", 404, "There is no such resource."),
    inside("notify_address_invalid"),
    open("notify_channel_inactive", 409, "The channel is switched off, so nothing is sent through it."),
    form("notify_channel_invalid"),
    open("notify_channel_limit", 409, "There are as many channels as there may be."),
    inside("notify_directory_failed"),
    outage("notify_directory_unavailable"),
    inside("notify_kind_invalid"),
    hidden("notify_kind_unknown"),
    row("notify_owner_required", 403, "not_a_person", "Only a person can do this."),
    inside("notify_render_failed"),
    inside("notify_setting_invalid"),
    inside("notify_signing_failed"),
    form("notify_template_invalid"),
    outage("notify_unopenable"),
    inside("notify_unreachable"),
    inside("notify_values_invalid"),
    inside("notify_values_too_large"),
    open("org_active", 409, "The organisation is active: deactivate it first."),
    open("org_being_deleted", 409, "The organisation is being deleted."),
    form("org_code_required"),
    open("org_code_taken", 409, "Another organisation has this code."),
    open("org_inactive", 409, "The organisation is not active."),
    open("org_is_default", 409, "The default organisation is neither deactivated nor deleted."),
    open("org_not_being_deleted", 409, "The organisation is not being deleted."),
    hidden("org_not_found"),
    open("own_account", 409, "Nobody does this to the account that is signed in."),
    open(
        "password_change_not_required",
        409,
        "Nothing requires another password; it is changed by who is signed in.",
    ),
    inside("password_hash_malformed"),
    inside("password_hash_too_costly"),
    inside("password_hash_unknown"),
    row("password_hashing_busy", 503, "busy", "Too many people are signing in at the moment."),
    outage("password_hashing_exhausted"),
    outage("password_hashing_out_of_memory"),
    outage("password_hashing_stopped"),
    inside("password_minimum_out_of_range"),
    open("password_not_own", 403, "Set a password of your own by a mailed link first."),
    inside("password_params_out_of_range"),
    inside("password_pepper_invalid"),
    inside("password_pepper_missing"),
    inside("password_randomness"),
    form("password_refused"),
    inside("password_strength_out_of_range"),
    form("password_too_long"),
    form("password_unchanged"),
    row("payload_too_large", 413, "body_too_large", "The body is larger than this route accepts."),
    open("permission_denied", 403, "A permission is required."),
    open("permission_key_taken", 409, "A permission of this key exists."),
    hidden("person_not_found"),
    open("person_required", 403, "Only a person who signed in, without narrowed scopes, can do this."),
    row("person_stale", 409, "stale", "The row has changed since it was read."),
    open("platform_owned", 403, "This belongs to the platform."),
    open("policy_stale", 503, "The access policy that is demanded has not arrived yet."),
    open("policy_unavailable", 503, "Permissions cannot be decided at the moment."),
    open("refresh_in_progress", 409, "The refresh token is being redeemed by another request."),
    open("refresh_invalid", 401, "The refresh token is not valid."),
    row("refresh_reused", 401, "refresh_invalid", "The refresh token is not valid."),
    open("registration_closed", 403, "Nobody can ask for an account here."),
    open("request_replayed", 401, "The signed request was received before."),
    open("request_signature_invalid", 401, "The signature of the request is not accepted."),
    open("request_timeout", 503, "The request took too long."),
    inside("request_unsignable"),
    open("reseed_in_production", 403, "In production, nobody brings defaults in place over HTTP."),
    row("revocations_stale", 503, "auth_unavailable", "Credentials cannot be judged at the moment."),
    open("role_cycle", 409, "The role would inherit from itself."),
    open("role_name_taken", 409, "A role of this name exists."),
    open("role_not_offered", 403, "The role is not the one that is offered."),
    inside("row_invalid"),
    open("schedule_name_taken", 409, "Another schedule has this name."),
    open("service_account_name_taken", 409, "A service account of this name exists."),
    hidden("service_account_not_found"),
    open("service_key_limit", 409, "The service account has as many keys as any may have."),
    open("service_required", 403, "Only a service with a key of its own, or one that signs, can do this."),
    hidden("session_not_found"),
    outage("session_store_unavailable"),
    row("session_unknown", 401, "unauthenticated", "A valid credential is required."),
    open("setup_token_invalid", 403, "The set-up link is not valid."),
    open("several_roles", 409, "Whoever is named has several roles: give and take single ones."),
    open("shared_person", 403, "The person belongs to other organisations as well."),
    open("signature_store_unavailable", 503, "Signed requests cannot be judged at the moment."),
    open("single_tenant", 409, "This installation has one organisation."),
    open("stale", 409, "The row has changed since it was read."),
    open("subscriber_served", 409, "A process works for the subscriber; stop it first."),
    open("tenant_hint_invalid", 400, "The request names its organisation in a way that is not understood."),
    open("tenant_required", 403, "The caller acts for no organisation."),
    row("token_revoked", 401, "unauthenticated", "A valid credential is required."),
    open("too_many_connections", 429, "Too many connections are open; close some."),
    open("unauthenticated", 401, "A valid credential is required."),
    open("unavailable", 503, "The service cannot do this at the moment."),
    open("unsupported_media_type", 415, "The body must be `application/json`, uncompressed."),
    open(
        "unsupported_token_type",
        400,
        "Service tokens cannot be revoked; change the account of the service.",
    ),
    open("upgrade_required", 426, "This route speaks WebSocket (RFC 6455) only."),
    form("username_at_sign"),
    open("username_taken", 409, "Somebody has this username."),
    open("validation", 422, "The request does not have the expected form."),
    row("version_conflict", 409, "stale", "The row has changed since it was read."),
    open("webhook_disabled", 409, "The webhook is stopped, so nothing is sent to it."),
    open("webhook_limit", 409, "The organisation has as many webhooks as it may."),
    open(
        "webhook_secret_rotating",
        409,
        "The secret before the last one still counts; wait until it does not, or rotate with `overlap_seconds` 0.",
    ),
    outage("webhook_secret_unusable"),
];
