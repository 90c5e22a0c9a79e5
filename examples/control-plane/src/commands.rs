//! The subcommands.

use std::{
    fs::File,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
};

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use stylobate::{
    Platform, Settings, StartError,
    auth::{BreachIndexError, KeyError, PasswordError, Rotation},
    db::{Db, DbOptions, MigrationState, migrate, migrate_to, migration_states, migration_states_of_nothing},
    middleware::ApiError,
    observability::{LogConfig, LogFormat, init_logging},
};

use crate::{
    access,
    admin::{self, AdminDetails, NewAdmin},
    app, keys, lock,
    passwords::{self, BreachIndexCommand, Calibration},
    people::import,
    refused::Refused,
    schema::migration_sets,
    unlock,
};

/// The control plane.
#[derive(Parser)]
#[command(name = "control-plane", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API and the pages (the default).
    Serve,
    /// Works on background jobs; beside servers on PostgreSQL, as many as wanted.
    Worker,
    /// Asks for the jobs of schedules when their time has come; beside servers on PostgreSQL, one or more.
    Scheduler,
    /// Brings the database to the newest version, or to the one named.
    Migrate(Migrate),
    /// Makes an administrator of the whole platform, also of the person who has this username and e-mail address already.
    Createsuperuser(CreateSuperuser),
    /// Makes the administrator `--username` as `createsuperuser` does, or with `--force-reset` gives it a new password.
    SeedAdmin(SeedAdmin),
    /// Brings the catalogue's permissions and the default roles of every organisation into the database.
    SeedRbac,
    /// Lets somebody sign in again whom wrong passwords have locked out.
    Unlock(Unlock),
    /// Adds the people of a replaced system, who sign in with the passwords they had there.
    ImportPeople(import::Arguments),
    /// Makes or checks the index of breached passwords that PASSWORD_BREACH_INDEX names.
    #[command(subcommand)]
    BreachIndex(BreachIndexCommand),
    /// Measures password hashing on this machine and recommends what it may cost.
    CalibratePasswords(Calibration),
    /// Counts the stored password hashes by kind and pepper version: which version may go, and what is left of a replaced system.
    PasswordHashes,
    /// Shows and changes the keys that sign access tokens.
    #[command(subcommand)]
    Keys(Keys),
    /// Prints the API document.
    Openapi,
}

#[derive(Subcommand)]
enum Keys {
    /// Lists them, newest first.
    List,
    /// Makes a new one. It is published first and signs ten minutes later; the old one verifies until its last token is over.
    Rotate {
        /// Signs with the new one at once. Services that remember our keys may refuse tokens until they ask again.
        #[arg(long)]
        now: bool,
    },
    /// Withdraws one that may have been stolen: its tokens stop within a second.
    Retire {
        /// Its id, as `keys list` shows it.
        kid: String,
    },
}

#[derive(Args)]
struct Migrate {
    /// Shows what is applied and what is missing, and changes nothing.
    #[arg(long, conflicts_with = "to")]
    status: bool,
    /// The version (YYYYMMDDhhmmss) to go to; newer migrations are undone.
    #[arg(long)]
    to: Option<i64>,
}

#[derive(Args)]
struct Unlock {
    /// The user name or e-mail address.
    #[arg(long)]
    username: String,
}

#[derive(Args)]
struct CreateSuperuser {
    #[arg(long)]
    username: Option<String>,
    #[arg(long)]
    email: Option<String>,
    #[arg(long, default_value = "Platform")]
    first_name: String,
    #[arg(long, default_value = "Administrator")]
    last_name: String,
    #[command(flatten)]
    details: Details,
    /// Asked for when left out, so that it stays out of the shell's history.
    #[arg(long)]
    password: Option<String>,
    /// Lets the password be good for one thing only: to choose another at the first sign-in.
    #[arg(long)]
    must_change_password: bool,
    /// Asks nothing; what is missing is an error.
    #[arg(long)]
    no_input: bool,
}

/// What else is known about an administrator who is made; somebody who is there already stays as they are.
#[derive(Args)]
struct Details {
    #[arg(long)]
    middle_name: Option<String>,
    /// Two capital letters (ISO 3166-1 alpha-2), or as it is written.
    #[arg(long)]
    nationality: Option<String>,
    /// As `1990-01-31`.
    #[arg(long)]
    date_of_birth: Option<NaiveDate>,
    #[arg(long)]
    phone_number: Option<String>,
}

#[derive(Args)]
struct SeedAdmin {
    #[arg(long)]
    username: String,
    #[arg(long)]
    email: Option<String>,
    #[arg(long, default_value = "Platform")]
    first_name: String,
    #[arg(long, default_value = "Administrator")]
    last_name: String,
    /// Asked for when left out.
    #[arg(long)]
    password: Option<String>,
    /// Lets the password be good for one thing only: to choose another at the first sign-in.
    #[arg(long)]
    must_change_password: bool,
    /// Gives an administrator that exists this password.
    #[arg(long)]
    force_reset: bool,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Start(StartError),
    #[error("another server, worker or scheduler uses this SQLite database")]
    SqliteSingleServer,
    #[error("the file `.env` has a line that is not `NAME=value`")]
    EnvironmentFile,
    #[error("the database did not do it")]
    Db(#[from] stylobate::db::Error),
    #[error("the schedules that are always there could not be made")]
    Schedules(#[from] stylobate::jobs::JobsError),
    #[error("the keys could not be changed")]
    Keys(#[from] KeyError),
    #[error(
        "the operator supplies the key that signs (JWT_PRIVATE_KEY, JWT_SECRET): there is no ring of generated ones"
    )]
    KeysFromOperator,
    #[error("{1}")]
    Refused(String, String),
    #[error("the two passwords differ")]
    PasswordsDiffer,
    #[error("`--{0}` is missing")]
    Missing(&'static str),
    #[error("the terminal cannot be used")]
    Terminal(#[from] std::io::Error),
    #[error("`{}` cannot be read", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the breach index cannot be used")]
    BreachIndex(#[from] BreachIndexError),
    #[error("passwords cannot be hashed")]
    Password(#[from] PasswordError),
}

impl Failed {
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Start(error) => error.code(),
            Self::SqliteSingleServer => "sqlite_single_server",
            Self::EnvironmentFile => "environment_file",
            Self::Db(error) => error.code(),
            Self::Schedules(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::KeysFromOperator => "keys_from_operator",
            Self::Refused(code, _) => code,
            Self::PasswordsDiffer => "passwords_differ",
            Self::Missing(_) => "argument_missing",
            Self::Terminal(_) => "terminal",
            Self::File { .. } => "file",
            Self::BreachIndex(error) => error.code(),
            Self::Password(error) => error.code(),
        }
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        let error = ApiError::from(refused);
        let problem = error.problem();
        let fields = problem.errors.iter().map(|field| format!("\n  {}: {}", field.field, field.message));
        let text = problem.detail.clone().unwrap_or_default() + fields.collect::<String>().as_str();
        Self::Refused(problem.code.to_string(), text)
    }
}

pub(crate) async fn run(arguments: Arguments, settings: Settings) -> Result<(), Failed> {
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let _lock = begin(&settings)?;
            app::serve(settings).await
        }
        Command::Worker => {
            let _lock = begin(&settings)?;
            app::work(settings).await
        }
        Command::Scheduler => {
            let _lock = begin(&settings)?;
            app::schedule(settings).await
        }
        Command::Migrate(arguments) => migrate_database(settings, arguments).await,
        Command::Createsuperuser(arguments) => create_superuser(settings, arguments).await,
        Command::SeedAdmin(arguments) => seed_admin(settings, arguments).await,
        Command::SeedRbac => {
            with_platform(settings, async |platform| {
                access::seed(platform).await?;
                Ok("permissions and default roles are there".to_owned())
            })
            .await
        }
        Command::Unlock(arguments) => {
            with_platform(settings, async |platform| unlock::unlock(platform, &arguments.username).await)
                .await
        }
        Command::ImportPeople(arguments) => {
            // Before anything starts: a missing file starts nothing.
            let rows = import::open(&arguments)?;
            with_platform(settings, async |platform| import::run(platform, &arguments, rows).await).await
        }
        Command::BreachIndex(command) => print(&passwords::breach_index(command)?),
        Command::CalibratePasswords(calibration) => print(&passwords::calibrate(&calibration).await?),
        Command::PasswordHashes => with_platform(settings, passwords::hashes).await,
        Command::Keys(arguments) => {
            with_platform(settings, async |platform| match arguments {
                Keys::List => keys::list(platform).await,
                Keys::Rotate { now } => {
                    keys::rotate(platform, if now { Rotation::Now } else { Rotation::PublishAhead }).await
                }
                Keys::Retire { kid } => keys::retire(platform, &kid).await,
            })
            .await
        }
        Command::Openapi => print(&app::document().await?),
    }
}

/// What long-running commands begin with: the log, and the lock where only one of them may run.
fn begin(settings: &Settings) -> Result<Option<File>, Failed> {
    let format = if settings.log_json { LogFormat::Json } else { LogFormat::Pretty };
    init_logging(&LogConfig { format, filter: settings.log_level.clone(), ..LogConfig::default() })
        .map_err(StartError::from)?;
    for name in settings.ignored() {
        tracing::warn!(name, "this setting of an older system is not used");
    }
    lock::hold(settings)
}

/// Starts the platform for a short command, and ends it in order.
async fn with_platform(
    settings: Settings,
    work: impl AsyncFnOnce(&Platform) -> Result<String, Failed>,
) -> Result<(), Failed> {
    let platform = app::platform(settings).await?;
    let done = work(&platform).await;
    platform.end().await;
    print(&done?)
}

async fn migrate_database(settings: Settings, arguments: Migrate) -> Result<(), Failed> {
    use secrecy::ExposeSecret as _;

    let url = settings.database_migration_url.as_ref().unwrap_or(&settings.database_url);
    // Looking makes nothing, not even an empty database.
    if arguments.status && !Db::exists(url.expose_secret())? {
        return print_states(&migration_states_of_nothing(&migration_sets()));
    }
    settings.make_data_dir()?;
    let db = Db::connect(url.expose_secret(), DbOptions::default()).await?;
    let sets = migration_sets();
    match arguments.to {
        Some(version) => migrate_to(&db, &sets, version).await?,
        None if !arguments.status => migrate(&db, &sets).await?,
        None => {}
    }
    let states = migration_states(&db, &sets).await?;
    db.close().await;
    print_states(&states)
}

fn print_states(states: &[MigrationState]) -> Result<(), Failed> {
    let line = |state: &MigrationState| {
        let mark = if state.is_applied { "applied" } else { "missing" };
        let name = if state.name.is_empty() { "(of a newer version)" } else { state.name };
        format!("{mark}  {:<14} {} {name}", state.set, state.version)
    };
    print(&states.iter().map(line).collect::<Vec<_>>().join("\n"))
}

async fn create_superuser(settings: Settings, arguments: CreateSuperuser) -> Result<(), Failed> {
    let ask = !arguments.no_input;
    let username = answer("username", arguments.username, ask)?;
    let email = answer("email", arguments.email, ask)?;
    let password = hidden(arguments.password, ask)?;
    let Details { middle_name, nationality, date_of_birth, phone_number } = arguments.details;
    let details = AdminDetails { middle_name, nationality, date_of_birth, phone: phone_number };
    let new = NewAdmin {
        username,
        email,
        details,
        first_name: arguments.first_name,
        last_name: arguments.last_name,
        password,
        must_change_password: arguments.must_change_password,
    };
    with_platform(settings, async |platform| Ok(admin::ensure(platform, "createsuperuser", new).await?)).await
}

async fn seed_admin(settings: Settings, arguments: SeedAdmin) -> Result<(), Failed> {
    let email = arguments.email.unwrap_or_else(|| format!("{}@localhost.localdomain", arguments.username));
    let password = hidden(arguments.password, true)?;
    let new = NewAdmin {
        username: arguments.username,
        email,
        details: AdminDetails::default(),
        first_name: arguments.first_name,
        last_name: arguments.last_name,
        password,
        must_change_password: arguments.must_change_password,
    };
    with_platform(settings, async |platform| {
        if arguments.force_reset && admin::reset(platform, &new).await? {
            return Ok(format!("{} has the new password", new.username));
        }
        Ok(admin::ensure(platform, "seed-admin", new).await?)
    })
    .await
}

fn answer(name: &'static str, given: Option<String>, ask: bool) -> Result<String, Failed> {
    match given {
        Some(given) => Ok(given),
        None if ask => {
            let mut out = std::io::stdout();
            write!(out, "{name}: ")?;
            out.flush()?;
            Ok(line()?.trim().to_owned())
        }
        None => Err(Failed::Missing(name)),
    }
}

fn line() -> Result<String, Failed> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn hidden(given: Option<String>, ask: bool) -> Result<String, Failed> {
    match given {
        Some(given) => Ok(given),
        // A pipe has no echo to hide, and nobody to ask twice.
        None if ask && !std::io::stdin().is_terminal() => line(),
        None if ask => {
            let first = rpassword::prompt_password("password: ")?;
            let again = rpassword::prompt_password("password again: ")?;
            if first == again { Ok(first) } else { Err(Failed::PasswordsDiffer) }
        }
        None => Err(Failed::Missing("password")),
    }
}

fn print(text: &str) -> Result<(), Failed> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
