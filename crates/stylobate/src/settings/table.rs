/// One thing an operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// `SECTION__KEY`; the canonical name puts `STYLOBATE_` in front.
    pub key: &'static str,
    /// Short names that mean the same; the first is the one documentation uses.
    pub aliases: &'static [&'static str],
    /// What it holds when it is not set.
    pub default: &'static str,
    /// Meaning, unit and range.
    pub doc: &'static str,
    /// Whether its value must never be shown.
    pub is_secret: bool,
}

impl Setting {
    /// The canonical name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{PREFIX}{}", self.key)
    }
}

pub(super) const PREFIX: &str = "STYLOBATE_";

macro_rules! table {
    ($($(#[$secret:ident])? $constant:ident = $key:literal [$($alias:literal),*] ($default:literal) $doc:literal;)*) => {
        $(pub(crate) const $constant: &str = $key;)*

        /// Everything an operator can set.
        #[must_use]
        pub fn settings_table() -> &'static [Setting] {
            &[$(Setting {
                key: $key,
                aliases: &[$($alias),*],
                default: $default,
                doc: $doc,
                is_secret: table!(@secret $($secret)?),
            }),*]
        }
    };
    (@secret secret) => { true };
    (@secret) => { false };
}

table! {
    ENVIRONMENT = "SERVER__ENVIRONMENT" ["APP_ENV", "ENVIRONMENT"] ("development") "Where it runs: `development`, `test` or `production`. Production refuses weak or contradictory values.";
    BIND_ADDRESS = "SERVER__BIND_ADDRESS" ["BIND_ADDR"] ("127.0.0.1:8001") "Where it listens, address and port.";
    PUBLIC_URL = "SERVER__PUBLIC_URL" ["PUBLIC_URL", "APP_URL"] ("http://<bind address>") "The address people know it by. Links are built from it, never from request headers.";
    SERVICE_NAME = "SERVER__NAME" ["SERVICE_NAME"] ("Stylobate") "What people call this service. No password may contain it.";
    DATA_DIR = "SERVER__DATA_DIR" ["DATA_DIR"] ("./data") "Folder for the embedded database and the key file.";
    #[secret] DATABASE_URL = "DATABASE__URL" ["DATABASE_URL"] ("sqlite://<data dir>/control-plane.db") "`postgres://…` or `sqlite://path`. SQLAlchemy spellings (`postgresql+psycopg://`) are understood.";
    #[secret] DATABASE_MIGRATION_URL = "DATABASE__MIGRATION_URL" ["DATABASE_MIGRATION_URL"] ("the same") "The same database as the owner of its tables, for migrations. Must differ in production on PostgreSQL.";
    WORKER_THREADS = "SERVER__WORKER_THREADS" ["UVICORN_WORKERS"] ("one per core") "Threads that run requests, 1 to 256. Passwords are hashed on threads of their own.";
    DATABASE_CONNECTIONS = "DATABASE__CONNECTIONS_MAX" ["DB_POOL_SIZE"] ("16") "Most connections at once, 1 to 500.";
    #[secret] REDIS_URL = "REDIS__URL" ["REDIS_URL"] ("none") "`redis://…` of a Redis server in which all processes add up how often API keys are used, so that they share one limit. While it is away each process holds the limit by itself, from what it knew last. Without TLS: for a trusted network.";
    #[secret] KEY_ENCRYPTION_KEY = "KEYS__ENCRYPTION_KEY" ["KEY_ENCRYPTION_KEY"] ("made at first start, in <data dir>/kek") "The key that seals all others: 32 bytes in base64 or hex. Production refuses a generated one.";
    JWT_ALGORITHM = "AUTH__JWT_ALGORITHM" ["JWT_ALGORITHM", "JWT_ALGORITHMS"] ("EdDSA") "How access tokens are signed: `EdDSA`, `ES256` or `ES384` with generated keys or JWT_PRIVATE_KEY; `PS256`, `PS384`, `PS512` or `RS256` with JWT_PRIVATE_KEY; `HS256`, `HS384` or `HS512` with JWT_SECRET. Without it, JWT_SECRET alone means `HS256` and JWT_PRIVATE_KEY alone `RS256`.";
    #[secret] JWT_SECRET = "AUTH__JWT_SECRET" ["JWT_SECRET", "JWT_SECRET_KEY"] ("none") "The shared secret for HS256, HS384 or HS512: at least 32, 48 or 64 bytes.";
    #[secret] JWT_PRIVATE_KEY = "AUTH__JWT_PRIVATE_KEY" ["JWT_PRIVATE_KEY"] ("none") "The key that signs, as PEM (PKCS#8; PKCS#1 for RSA, SEC 1 for ECDSA); `\\n` may stand for line ends. RSA keys have at least 2,048 bits.";
    JWT_PRIVATE_KEY_PATH = "AUTH__JWT_PRIVATE_KEY_PATH" ["JWT_PRIVATE_KEY_PATH"] ("none") "A file with the key that signs.";
    JWT_PUBLIC_KEY = "AUTH__JWT_PUBLIC_KEY" ["JWT_PUBLIC_KEY"] ("the one of the private key") "The public half of JWT_PRIVATE_KEY as PEM, to make sure that both belong together.";
    JWT_PUBLIC_KEY_PATH = "AUTH__JWT_PUBLIC_KEY_PATH" ["JWT_PUBLIC_KEY_PATH"] ("none") "A file with the public half.";
    JWT_PREVIOUS_PUBLIC_KEY = "AUTH__JWT_PREVIOUS_PUBLIC_KEY" ["JWT_PREVIOUS_PUBLIC_KEY"] ("none") "The public half of the key that signed before JWT_PRIVATE_KEY did, as PEM: its tokens are accepted for as long as they live. Changing JWT_SECRET has no such overlap; people refresh.";
    JWT_ISSUER = "AUTH__JWT_ISSUER" ["JWT_ISSUER"] ("the public URL") "The issuer in access tokens.";
    JWT_AUDIENCE = "AUTH__JWT_AUDIENCE" ["JWT_AUDIENCE"] ("the issuer") "The audience in access tokens.";
    ACCESS_TTL = "AUTH__ACCESS_TTL_MINUTES" ["JWT_ACCESS_TTL_MINUTES", "ACCESS_TOKEN_EXPIRE_MINUTES", "JWT_ACCESS_TOKEN_EXPIRE_MINUTES"] ("15") "How long an access token is good for, 1 to 60 minutes.";
    REFRESH_TTL = "AUTH__REFRESH_TTL_DAYS" ["JWT_REFRESH_TTL_DAYS", "JWT_REFRESH_TOKEN_EXPIRE_DAYS"] ("30") "How long a session can be refreshed, 1 to 365 days.";
    SESSION_IDLE = "AUTH__SESSION_IDLE_MINUTES" ["SESSION_IDLE_MINUTES", "SESSION_TIMEOUT_MINUTES"] ("60") "Without a request for this long a cookie session ends, 1 to 1440 minutes.";
    SESSION_ABSOLUTE = "AUTH__SESSION_ABSOLUTE_HOURS" ["SESSION_ABSOLUTE_HOURS"] ("24") "A cookie session ends this long after its sign-in, 1 to 720 hours.";
    SESSIONS_MAX = "AUTH__SESSIONS_MAX" ["SESSIONS_MAX"] ("20") "How many sessions of one person live at once, 1 to 1000. A sign-in above that ends the oldest.";
    REFRESH_COOKIE_NAME = "AUTH__REFRESH_COOKIE_NAME" ["REFRESH_COOKIE_NAME"] ("none") "When set, a cookie of this name carries the refresh token, out of reach of scripts; answers then leave it empty.";
    REFRESH_COOKIE_SECURE = "AUTH__REFRESH_COOKIE_SECURE" ["REFRESH_COOKIE_SECURE"] ("true where PUBLIC_URL is https") "Whether that cookie is sent over TLS only.";
    REFRESH_COOKIE_SAMESITE = "AUTH__REFRESH_COOKIE_SAMESITE" ["REFRESH_COOKIE_SAMESITE"] ("lax") "`strict`, `lax` or `none`.";
    REFRESH_COOKIE_DOMAIN = "AUTH__REFRESH_COOKIE_DOMAIN" ["REFRESH_COOKIE_DOMAIN"] ("the host alone") "Whose sub-domains have that cookie, too.";
    REFRESH_COOKIE_PATH = "AUTH__REFRESH_COOKIE_PATH" ["REFRESH_COOKIE_PATH"] ("/auth") "Under which path it is sent; with the prefix that clients use, such as `/api/auth`.";
    LOGIN_ATTEMPTS = "AUTH__LOGIN_ATTEMPTS_MAX" ["LOGIN_ATTEMPT_LIMIT"] ("5") "After how many wrong passwords in a row a client waits before it tries the same account again, 1 to 20. A known device is counted by itself.";
    LOGIN_STRANGERS = "AUTH__LOGIN_STRANGERS_ATTEMPTS_MAX" ["LOGIN_STRANGERS_LIMIT"] ("four times LOGIN_ATTEMPT_LIMIT") "After how many wrong passwords in a row of all clients together an account waits, 1 to 80; known devices do not wait. After 80 it waits for `control-plane unlock` or a new password.";
    FLOW_ADDRESS = "AUTH__FLOW_ADDRESS_MAX" ["FLOW_ADDRESS_LIMIT"] ("20") "How many links that reset passwords, how many accounts and how many invitations an address may ask for within five minutes, for whatever accounts, and how many wrong BOOTSTRAP_SECRETs it may present, 1 to 10000 each. Many people behind one address need more.";
    PASSWORD_RESET_TTL = "AUTH__PASSWORD_RESET_TTL_MINUTES" ["PASSWORD_RESET_TTL_MINUTES"] ("60") "How many minutes a link that resets a password is good, 60 to 1440.";
    EMAIL_LINK_TTL = "AUTH__EMAIL_LINK_TTL_HOURS" ["EMAIL_LINK_TTL_HOURS"] ("24") "How many hours a link that proves an e-mail address is good, 1 to 168.";
    INVITATION_TTL = "AUTH__INVITATION_TTL_DAYS" ["INVITATION_TTL_DAYS"] ("7") "How many days an invitation to an organisation is good, 1 to 30.";
    REGISTRATION = "AUTH__REGISTRATION" ["REGISTRATION"] ("off") "Who may ask for an account at `/auth/register`: `off` nobody, `invited` whoever has an invitation, `open` everybody, for the default organisation. Invitations are accepted in any case.";
    REGISTRATION_ROLE = "AUTH__REGISTRATION_ROLE" ["REGISTRATION_ROLE"] ("member") "The name of the role of an organisation that those get who register, and those whose invitation names none.";
    LOGIN_ADDRESS = "AUTH__LOGIN_ADDRESS_ATTEMPTS_MAX" ["LOGIN_ADDRESS_LIMIT"] ("100") "After how many wrong passwords, for whatever accounts, an address waits, 1 to 10000. Many people behind one address need more.";
    LOGIN_LOCKOUT = "AUTH__LOGIN_LOCKOUT_MINUTES" ["LOGIN_LOCKOUT_MINUTES"] ("15") "How long either waits, 1 to 1440 minutes; each time twice as long, up to a day.";
    API_KEY_TTL = "API_KEYS__TTL_DAYS" ["API_KEY_TTL_DAYS"] ("90") "How long an API key lives unless something else is asked, 1 to 365 days. None lives longer than 365.";
    API_KEYS_MAX = "API_KEYS__PER_OWNER_MAX" ["API_KEYS_PER_OWNER_MAX"] ("10") "How many live API keys a person or a service account has in an organisation, 1 to 100.";
    API_KEY_REQUESTS = "API_KEYS__REQUESTS_PER_HOUR" ["API_KEY_REQUESTS_PER_HOUR"] ("1000") "How often an API key may be used within an hour of the clock unless something else is asked, 1 to 1000000. With REDIS_URL all processes share it; without, each counts for itself.";
    API_KEYS_MADE = "API_KEYS__MADE_MAX" ["API_KEY_RATE_MAX"] ("5") "How many API keys one caller makes in an organisation within API_KEY_RATE_WINDOW_SECONDS, 1 to 1000.";
    API_KEYS_MADE_WINDOW = "API_KEYS__MADE_WINDOW_SECONDS" ["API_KEY_RATE_WINDOW_SECONDS"] ("60") "1 to 86400 seconds.";
    SERVICE_TOKEN_TTL = "SERVICES__TOKEN_TTL_MINUTES" ["SERVICE_TOKEN_TTL_MINUTES"] ("5") "How long the token of a service lives, 1 to 60 minutes. Receivers that ask nobody accept it for as long.";
    PASSWORD_MIN = "AUTH__PASSWORD_CHARS_MIN" ["DEFAULT_PASSWORD_MIN_LENGTH"] ("15") "The fewest characters of a password; may raise the minimum of 15, up to 64.";
    PASSWORD_MEMORY = "AUTH__PASSWORD_MEMORY_KIB" ["PASSWORD_MEMORY_KIB"] ("19456") "The memory that a new password hash costs, 19456 to 1048576 KiB. `calibrate-passwords` measures what the machine can afford.";
    PASSWORD_PASSES = "AUTH__PASSWORD_PASSES" ["PASSWORD_PASSES"] ("2") "How often a new password hash goes over that memory, 2 to 32.";
    #[secret] PASSWORD_PEPPER = "AUTH__PASSWORD_PEPPER" ["PASSWORD_PEPPER"] ("none") "Secrets that password hashes are keyed with: a comma list of `version:base64`, versions from 1, at least 32 bytes each. The highest version is used for new hashes; one that stored hashes name must stay.";
    PASSWORD_STRENGTH = "AUTH__PASSWORD_STRENGTH_MIN" ["PASSWORD_STRENGTH_MIN"] ("0: not asked") "The least strength of a new password as zxcvbn estimates it, 0 to 4; 3 is advised.";
    PASSWORD_BREACHES = "AUTH__PASSWORD_BREACH_INDEX" ["PASSWORD_BREACH_INDEX"] ("none") "A file that `breach-index build` made; the passwords in it are refused. Read at the start: a new file needs a restart. A look-up that fails lets the password pass and is an error in the log.";
    TENANCY_MODE = "TENANCY__MODE" ["TENANCY_MODE"] ("single") "`single` or `multi` organisations.";
    DEFAULT_ORG_ID = "TENANCY__DEFAULT_ORG_ID" ["DEFAULT_ORG_ID"] ("made at first start") "The id of the organisation that every installation has, a UUID. Once that organisation is made, another id stops the start.";
    DEFAULT_ORG_CODE = "TENANCY__DEFAULT_ORG_CODE" ["DEFAULT_ORG_SLUG", "DEFAULT_ORG_CODE"] ("default") "Its code: 1 to 64 letters and digits of ASCII, `-` and `_`, a letter or digit first, and nothing that looks like an id. Counts only when the organisation is made; afterwards it is changed as any other.";
    DEFAULT_ORG_NAME = "TENANCY__DEFAULT_ORG_NAME" ["DEFAULT_ORG_NAME"] ("Default organisation") "Its name. Counts only when the organisation is made.";
    TENANCY_BASE_DOMAIN = "TENANCY__BASE_DOMAIN" ["TENANCY_BASE_DOMAIN"] ("none") "The domain below which organisations have addresses: at `acme.<domain>` only those are served who act for the organisation with the code `acme`. The host of PUBLIC_URL may be below it; no other host of the service may.";
    CORS_ORIGINS = "HTTP__CORS_ORIGINS" ["CORS_ORIGINS", "ALLOWED_ORIGINS"] ("http://localhost:3000 in development, none otherwise") "Origins that browsers may call from: a comma or JSON list, compared exactly.";
    TRUSTED_PROXIES = "HTTP__TRUSTED_PROXIES" ["TRUSTED_PROXIES", "TRUSTED_PROXY_IPS", "TRUSTED_PROXY_CIDRS"] ("none") "Addresses or networks whose forwarding headers are believed: a comma list.";
    PROXIES_COUNT = "HTTP__PROXIES_MAX" ["PROXIES_COUNT"] ("no limit among TRUSTED_PROXIES") "How many proxies in a row are believed at most; applies only to peers in TRUSTED_PROXIES.";
    HSTS = "HTTP__HSTS" ["ENABLE_HSTS"] ("true in production") "Whether `Strict-Transport-Security` is sent.";
    #[secret] METRICS_TOKEN = "OBSERVABILITY__METRICS_TOKEN" ["METRICS_TOKEN"] ("none: loopback only") "The bearer token that scrapers of `/metrics` present, at least 16 characters. Production wants one.";
    #[secret] INTERNAL_SECRET = "ACCESS__INTERNAL_SECRET" ["INTERNAL_API_SECRET"] ("none: nobody") "What programs of the operator present in `X-Internal-Secret` on the routes that take it, instead of signing in: at least 32 visible ASCII characters.";
    #[secret] BOOTSTRAP_SECRET = "ACCESS__BOOTSTRAP_SECRET" ["BOOTSTRAP_SECRET"] ("none: the route is not there") "What `POST /v1/bootstrap/organization` takes in `X-Bootstrap-Secret`: whoever knows it makes organisations with an administrator, and on an empty installation the first super administrator. At least 32 visible ASCII characters. Take it away when nobody needs it any more.";
    RBAC_ENGINE = "ACCESS__RBAC_ENGINE" ["RBAC_ENGINE"] ("native") "What decides about permissions: `native`, or `casbin` on the same rows.";
    WORKER_ENABLED = "JOBS__WORKER_IN_SERVER" ["WORKER_ENABLED"] ("true") "Whether `serve` works on background jobs itself. `false` leaves them to `worker` processes, which PostgreSQL allows any number of.";
    SCHEDULER_ENABLED = "JOBS__SCHEDULER_IN_SERVER" ["SCHEDULER_ENABLED"] ("true") "Whether `serve` follows the schedules itself. `false` leaves them to `scheduler` processes, of which one must run; each slot fires once with any number.";
    WORKER_CONCURRENCY = "JOBS__WORKER_CONCURRENCY" ["WORKER_CONCURRENCY"] ("10") "How many jobs of each queue a process runs at once, 1 to 1000; of those about messages, which wait more than they work, eight times as many.";
    JOB_LEASE = "JOBS__LEASE_SECONDS" ["JOB_LEASE_SECONDS"] ("30") "How long a job stays with a worker that nothing is heard of, 5 to 3600 seconds; others have it after twice that at most. The same in all processes.";
    #[secret] AMQP_URL = "EVENTS__AMQP_URL" ["AMQP_URL", "RABBITMQ_URL"] ("none") "`amqp://user:password@host:5672/vhost` or `amqps://…` of a RabbitMQ to which events are published. Without it they reach subscribers in this product and webhooks.";
    AMQP_CA_FILE = "EVENTS__AMQP_CA_FILE" ["AMQP_CA_FILE"] ("none") "A file with certificates in PEM that sign the broker's, besides those of the public authorities. For `amqps://`.";
    AMQP_UNROUTABLE = "EVENTS__UNROUTABLE" ["AMQP_UNROUTABLE"] ("keep") "What becomes of an event for which the broker has no queue: `keep` tries again and keeps it as a dead letter, `discard` forgets it.";
    EVENTS_KEPT = "EVENTS__KEPT_DAYS" ["EVENTS_KEPT_DAYS"] ("30") "How long events are kept once everybody has them, 1 to 3650 days.";
    EVENT_DEAD_LETTERS_KEPT = "EVENTS__DEAD_LETTERS_KEPT_DAYS" ["EVENT_DEAD_LETTERS_KEPT_DAYS"] ("90") "How long deliveries of events that were given up are kept, with their events, 1 to 3650 days.";
    WEBHOOK_DELIVERIES_KEPT = "WEBHOOKS__DELIVERIES_KEPT_DAYS" ["WEBHOOK_DELIVERIES_KEPT_DAYS"] ("14") "How long the log of webhook deliveries is kept, 1 to 3650 days.";
    WEBHOOK_NETWORKS = "WEBHOOKS__ALLOWED_NETWORKS" ["WEBHOOK_ALLOWED_NETWORKS"] ("none") "Private addresses and networks that webhooks, chats and short messages may go to all the same, separated by commas: `10.1.0.0/16`. Otherwise only public addresses.";
    WEBHOOK_HTTP = "WEBHOOKS__INSECURE_ALLOW_HTTP" ["WEBHOOK_INSECURE_ALLOW_HTTP"] ("false") "Whether webhooks, chats and short messages may go to `http://` addresses, in the clear. Refused in production.";
    #[secret] SMTP_URL = "NOTIFY__SMTP_URL" ["SMTP_URL"] ("none") "Who takes mails: `smtp://user:password@host:587` with STARTTLS, `smtps://…` with TLS from the first byte. `?tls=none` is refused but to this machine, in production too. `SMTP_HOST`, `SMTP_PORT`, `SMTP_USERNAME`, `SMTP_PASSWORD`, `SMTP_USE_TLS` and `SMTP_USE_SSL` are understood in its place. Without it mails are written into <data dir>/outbox, and in production not sent at all. Every process that works on jobs needs it.";
    SMTP_CA_FILE = "NOTIFY__SMTP_CA_FILE" ["SMTP_CA_FILE"] ("none") "A file with certificates in PEM that sign the mail server's, instead of those of the public authorities. For SMTP_URL alone.";
    SMTP_INSECURE = "NOTIFY__INSECURE_SMTP_PLAIN" ["SMTP_INSECURE_PLAIN"] ("false") "Whether SMTP_URL may say `?tls=none` to another machine: mails, links and the password in the clear. Refused in production.";
    MAIL_FROM = "NOTIFY__MAIL_FROM" ["MAIL_FROM"] ("needed with SMTP_URL") "From whom mails are: `Name <address>`. `SMTP_FROM_EMAIL` and `SMTP_FROM_NAME` are understood in its place.";
    DKIM_DOMAIN = "NOTIFY__DKIM_DOMAIN" ["DKIM_DOMAIN"] ("that of MAIL_FROM") "The domain that signs mails (DKIM). For DKIM_PRIVATE_KEY alone.";
    DKIM_SELECTOR = "NOTIFY__DKIM_SELECTOR" ["DKIM_SELECTOR"] ("none") "Under which selector the public key stands in the DNS. Needed with DKIM_PRIVATE_KEY.";
    #[secret] DKIM_PRIVATE_KEY = "NOTIFY__DKIM_PRIVATE_KEY" ["DKIM_PRIVATE_KEY"] ("none") "The key that signs mails, PKCS#8 in PEM: RSA of 2,048 bits or more, or Ed25519; `\\n` may stand for line ends.";
    #[secret] SMS_URL = "NOTIFY__SMS_URL" ["SMS_URL"] ("none") "Who takes short messages, for services with kinds of messages that go by SMS: `twilio://SID:TOKEN@api.twilio.com?from=+15550100`, `vonage://KEY:SECRET@rest.nexmo.com?from=Name`, or the `https://` address of another gateway.";
    NOTIFY_HOSTS = "NOTIFY__ALLOWED_HOSTS" ["NOTIFY_ALLOWED_HOSTS"] ("none") "Hosts that chats may be at besides their makers' own, separated by commas: `chat.example.org`, without scheme, port and path. Mattermost is at none but these. Private addresses have to be in WEBHOOK_ALLOWED_NETWORKS too.";
    NOTIFY_EMAIL = "NOTIFY__EMAIL_PER_DAY" ["NOTIFY_EMAIL_PER_DAY"] ("100") "How many mails an address is sent within 24 hours at most, 1 to 1000000. What concerns security is sent beyond it. The same in all processes, as for the next three.";
    NOTIFY_SMS = "NOTIFY__SMS_PER_DAY" ["NOTIFY_SMS_PER_DAY"] ("5") "How many short messages a number is sent within 24 hours at most, 1 to 1000000.";
    NOTIFY_IN_APP = "NOTIFY__IN_APP_PER_DAY" ["NOTIFY_IN_APP_PER_DAY"] ("1000") "How many notifications a person gets in the product within 24 hours at most, 1 to 1000000.";
    NOTIFY_CHANNEL = "NOTIFY__CHANNEL_PER_DAY" ["NOTIFY_CHANNEL_PER_DAY"] ("1000") "How many messages go through a channel within 24 hours at most, 1 to 1000000.";
    NOTIFY_DELIVERIES_KEPT = "NOTIFY__DELIVERIES_KEPT_DAYS" ["NOTIFY_DELIVERIES_KEPT_DAYS"] ("30") "How long the log of messages is kept, 1 to 3650 days.";
    DOCS_PUBLIC = "HTTP__DOCS_PUBLIC" ["DOCS_PUBLIC"] ("true outside production") "Whether the API documents are open to everybody; otherwise they need `docs.read`.";
    LOG_LEVEL = "OBSERVABILITY__LOG_LEVEL" ["LOG_LEVEL"] ("info") "What is logged: a level, or directives such as `info,stylobate_db=debug`.";
    LOG_FORMAT = "OBSERVABILITY__LOG_FORMAT" ["LOG_FORMAT"] ("pretty; json in production") "`pretty` or `json`.";
}

/// Names that the replaced systems read and that this version has no use for, so that they are named in a warning
/// instead of vanishing. A `*` stands for any rest.
pub(super) const NOT_USED: &[&str] = &[
    "API_KEY_HASH_SECRET",
    "CELERY_*",
    "SESSION_BACKEND",
    "VAULT_URL",
    "VAULT_TOKEN",
    "VAULT_MOUNT_POINT",
    "VAULT_NAMESPACE",
    "VAULT_KV_VERSION",
    "VAULT_VERIFY_SSL",
    "SECRETS_BACKEND",
    "SECRETS_TIMEOUT",
    "SECRETS_MAX_RETRIES",
    "SECRETS_AUTO_ROTATION",
    "TENANT_ID",
    "ALLOWED_TENANT_HOSTS",
    "EXTRA_SEED_ORG_IDS",
    "TENANT_PATH_PREFIX",
    "CACHE_BACKEND",
    "CACHE_TTL",
    "ENCRYPTION_KEY",
    "ENABLE_FIELD_ENCRYPTION",
    "OTLP_ENDPOINT",
    "CORRELATION_ID_HEADER",
    "TRACING_ENABLED",
    "METRICS_ENABLED",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_one_thing() {
        let mut names: Vec<&str> =
            settings_table().iter().flat_map(|one| one.aliases.iter().copied().chain([one.key])).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
