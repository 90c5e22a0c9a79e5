//! Getting what is missing: Debian packages through apt, cargo tools as prebuilt wheels.

use crate::{Result, process, workspace};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

/// A cargo subcommand that takes minutes to compile, and the Python package that carries it ready-made.
pub struct Tool {
    /// The program, `cargo-nextest`.
    pub program: &'static str,
    pub version: &'static str,
}

/// cargo-nextest, the test runner.
pub const NEXTEST: Tool = Tool { program: "cargo-nextest", version: "0.9.148" };
/// cargo-deny, which judges dependencies.
pub const DENY: Tool = Tool { program: "cargo-deny", version: "0.20.2" };

impl Tool {
    /// The program: the one on `PATH`, else the wheel's (kept in the user's cache), else compiled from source.
    pub fn path(&self) -> Result<PathBuf> {
        if let Some(found) = process::on_path(self.program) {
            return Ok(found);
        }
        let home = workspace::cache()?.join("tools").join(format!("{}-{}", self.program, self.version));
        let program = home.join("bin").join(self.program);
        if !program.is_file() {
            eprintln!("xtask: installing {} {} into {}", self.program, self.version, home.display());
            fs::create_dir_all(&home)?;
            if let Err(error) = self.install_wheel(&home) {
                eprintln!("xtask: no prebuilt {} ({error}); compiling it, which takes minutes", self.program);
                self.compile(&home)?;
            }
        }
        Ok(program)
    }

    fn install_wheel(&self, home: &Path) -> Result {
        wheels(home, &[&format!("astral-dev-toolchain-{}=={}", self.program, self.version)])
    }

    fn compile(&self, home: &Path) -> Result {
        let flags = ["install", "--locked", "--version", self.version, "--root"];
        process::run(process::cargo().args(flags).arg(home).arg(self.program))
    }
}

/// A Python library that a server for tests is made of, with what it needs.
pub struct Library {
    name: &'static str,
    packages: &'static [&'static str],
}

/// aiosmtpd, an SMTP server in pieces.
pub const AIOSMTPD: Library =
    Library { name: "aiosmtpd-1.4.6", packages: &["aiosmtpd==1.4.6", "atpublic==9.0.0", "attrs==26.1.0"] };

impl Library {
    /// A Python that has it, kept in the user's cache.
    pub fn python(&self) -> Result<PathBuf> {
        let home = workspace::cache()?.join("tools").join(self.name);
        let complete = home.join("complete");
        if !complete.is_file() {
            eprintln!("xtask: installing {} into {}", self.name, home.display());
            fs::create_dir_all(&home)?;
            wheels(&home, self.packages)?;
            fs::write(complete, "")?;
        }
        Ok(home.join("bin/python3"))
    }
}

/// Installs ready-made Python packages into a virtual environment of their own.
fn wheels(home: &Path, packages: &[&str]) -> Result {
    let venv = || process::output(Command::new("python3").args(["-m", "venv"]).arg(home));
    if process::on_path("python3").is_none() || venv().is_err() {
        apt(&["python3-venv"])?;
        venv()?;
    }
    let pip = home.join("bin/pip");
    let flags = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    process::output(Command::new(pip).args(flags).args(packages))?;
    Ok(())
}

/// Installs Debian packages, as root or through sudo.
pub fn apt(packages: &[&str]) -> Result {
    if process::on_path("apt-get").is_none() {
        return Err(format!("please install {}: this machine has no apt-get", packages.join(", ")).into());
    }
    eprintln!("xtask: installing {}", packages.join(", "));
    let install = || {
        apt_get(
            &[&["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600"], packages]
                .concat(),
        )
    };
    // The first failure is mostly an old or missing package list, a later one a registry that stumbled.
    let mut outcome = install();
    for _ in 0..2 {
        if outcome.is_ok() {
            break;
        }
        let _ = apt_get(&["update"]);
        thread::sleep(std::time::Duration::from_secs(2));
        outcome = install();
    }
    outcome
}

fn apt_get(arguments: &[&str]) -> Result {
    let mut command = if rustix::process::getuid().is_root() {
        Command::new("env")
    } else if process::on_path("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    } else {
        return Err(format!("neither root nor sudo: please run `apt-get {}`", arguments.join(" ")).into());
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]).args(arguments);
    process::output(&mut command).map(drop)
}

/// The C compiler and linker that build scripts and `rustc` call.
pub fn compiler() -> Result {
    if process::on_path("cc").is_some() { Ok(()) } else { apt(&["build-essential"]) }
}
