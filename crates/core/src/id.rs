use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// A text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct IdParse;

fn uuid_v7(now: DateTime<Utc>) -> Uuid {
    // A time before 1970 has no place in a UUIDv7; the id stays unique by its 74 random bits.
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// A UUIDv7 (RFC 9562 §5.7): ordered by creation time to the millisecond, and no secret.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id whose time part is `now`.
            #[must_use]
            pub fn new(now: DateTime<Utc>) -> Self {
                Self(uuid_v7(now))
            }

            /// Takes an id that exists already.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The id as databases store it.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = IdParse;

            fn from_str(text: &str) -> Result<Self, IdParse> {
                // One spelling only: hyphenated. Braces and URNs would be second names of one row.
                if text.len() != 36 {
                    return Err(IdParse);
                }
                text.parse().map(Self).map_err(|_| IdParse)
            }
        }
    )*};
}

ids! {
    /// Names an entry of an access control list.
    AclId,
    /// Names an API key.
    ApiKeyId,
    /// Names an audit event.
    AuditEventId,
    /// Names a domain event; stays the same over every delivery of it.
    EventId,
    /// Names a group of people and service accounts.
    GroupId,
    /// Names an invitation to an organisation.
    InvitationId,
    /// Names a job.
    JobId,
    /// Names a key of the key ring (the `kid` of a token).
    KeyId,
    /// Names a message that was handed over.
    MessageId,
    /// Names the delivery of a message to one destination.
    MessageDeliveryId,
    /// Names something that a person finds in the product.
    NotificationId,
    /// Names a destination for messages that somebody has set up.
    NotificationChannelId,
    /// Names a permission rule for one subject, beside its roles.
    OverrideId,
    /// Names a permission.
    PermissionId,
    /// Names a person: user and account are the same entity.
    PersonId,
    /// Names one request, from the edge to the last log line it causes.
    RequestId,
    /// Names the assignment of a role to a subject.
    RoleAssignmentId,
    /// Names a role.
    RoleId,
    /// Names the link between a role and a permission.
    RolePermissionId,
    /// Names a schedule of jobs.
    ScheduleId,
    /// Names a service account.
    ServiceId,
    /// Names a public key of a service account, also in the signatures of requests.
    ServiceKeyId,
    /// Names a session. It is public to its owner; the session's token is a different, secret value.
    SessionId,
    /// Names an address that nothing is sent to.
    SuppressionId,
    /// Names a tenant: organisation and tenant are the same entity.
    TenantId,
    /// Names one access token (its `jti`). It is no secret: knowing it does not make a token.
    TokenId,
    /// Names one event that is owed to one endpoint of webhooks.
    WebhookDeliveryId,
    /// Names an endpoint of webhooks.
    WebhookEndpointId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_creation_time() {
        let early = PersonId::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        let late = PersonId::new(DateTime::from_timestamp(1_700_000_001, 0).unwrap());
        assert!(early < late);
    }

    #[test]
    fn only_the_hyphenated_spelling_is_an_id() {
        let id = RoleId::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        assert_eq!(id.to_string().parse(), Ok(id));
        for other in
            [id.as_uuid().simple().to_string(), format!("{{{id}}}"), format!("urn:uuid:{id}"), String::new()]
        {
            assert_eq!(other.parse::<RoleId>(), Err(IdParse), "{other}");
        }
    }

    #[test]
    fn a_time_before_1970_still_gives_distinct_ids() {
        let then = DateTime::from_timestamp(-1, 0).unwrap();
        assert_ne!(RoleId::new(then), RoleId::new(then));
    }
}
