use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::Place;

/// The control plane with its environment, ready to be started with arguments.
#[derive(Clone)]
pub struct Program {
    environment: BTreeMap<String, String>,
    folder: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    /// Whether its exit code is 0.
    pub success: bool,
    /// All it wrote, standard output first.
    pub text: String,
}

impl Program {
    /// The program at `place`; nothing of the caller's own environment reaches it.
    #[must_use]
    pub fn at(place: &Place) -> Self {
        let mut environment = place.environment();
        let fixed = [
            ("APP_ENV", "test"),
            ("BIND_ADDR", "127.0.0.1:0"),
            // Without a name of its own, the issuer would change with the port at every start.
            ("JWT_ISSUER", "https://control-plane.test"),
        ];
        environment.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        // The whole suite passes with either engine: `cargo xtask test` runs it with both.
        if let Ok(engine) = env::var("STYLOBATE_TEST_RBAC_ENGINE") {
            environment.insert("RBAC_ENGINE".to_owned(), engine);
        }
        Self { environment, folder: place.folder().to_owned() }
    }

    /// The same with another variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    pub(crate) fn with_all(mut self, environment: BTreeMap<String, String>) -> Self {
        self.environment.extend(environment);
        self
    }

    /// The command with these arguments.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(control_plane());
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that ends by itself.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        let ended = tokio::task::spawn_blocking(move || command.output());
        let Output { status, stdout, stderr } = ended.await.expect("no panic").expect("the program to start");
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        Run { success: status.success(), text }
    }
}

impl Run {
    /// Everything it wrote, when it succeeded.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn expect_success(self) -> String {
        assert!(self.success, "{}", self.text);
        self.text
    }
}

fn control_plane() -> PathBuf {
    built("control-plane")
}

/// The built binary of this name.
pub(crate) fn built(name: &str) -> PathBuf {
    let variable = format!("STYLOBATE_BIN_{}", name.replace('-', "_").to_uppercase());
    if let Some(named) = env::var_os(&variable) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "{variable} names {}, which is not there", named.display());
        return named;
    }
    // Tests lie in target/debug/deps, programs in target/debug.
    let own = env::current_exe().expect("this program's own path");
    let beside = own.ancestors().skip(1).take(2).map(|folder: &Path| folder.join(name));
    beside.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo xtask test`, or `cargo build -p {name}` before")
    })
}
