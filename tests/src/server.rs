use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Program, eventually, program::built};

/// One running server, `control-plane serve` unless said otherwise. Killed when it is dropped.
pub struct Server {
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Server {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it ends instead, or does not become ready.
    pub async fn start(program: &Program) -> Self {
        let mut server = Self::spawn(program.command(&["serve"]));
        server.address = eventually("the server to name its address", async || {
            server.assert_runs();
            server.output().iter().find_map(|line| address_in(line))
        })
        .await;
        let probe = reqwest::Client::builder().no_proxy().build().expect("a client");
        let ready = format!("{}/health/ready", server.address);
        eventually("the server to be ready", async || {
            server.assert_runs();
            let answer = probe.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        server
    }

    /// Starts the example `resource-server` with these variables and waits until it listens.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn start_resource_server(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(built("resource-server"));
        command.env_clear().envs(environment.iter().copied()).env("BIND_ADDR", "127.0.0.1:0");
        let mut server = Self::spawn(command);
        server.address = eventually("the resource server to name its address", async || {
            server.assert_runs();
            server.output().iter().find_map(|line| address_in(line))
        })
        .await;
        server
    }

    /// Starts a worker and waits until it works.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn start_worker(program: &Program) -> Self {
        Self::start_beside(program, "worker", "working on jobs").await
    }

    /// Starts a scheduler and waits until it follows the schedules.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn start_scheduler(program: &Program) -> Self {
        Self::start_beside(program, "scheduler", "following schedules").await
    }

    async fn start_beside(program: &Program, command: &str, says: &str) -> Self {
        let mut server = Self::spawn(program.command(&[command]));
        eventually(says, async || {
            server.assert_runs();
            server.output().iter().any(|line| line.contains(says)).then_some(())
        })
        .await;
        server
    }

    fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server to start");
        let output = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().expect("piped"), &output);
        collect(child.stderr.take().expect("piped"), &output);
        Self { child, output, address: String::new() }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines it has written so far, on either stream.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.output.lock().expect("no panic holds it").clone()
    }

    /// The path and query of the one-time link for the first administrator, once it is there.
    #[must_use]
    pub fn setup_link(&self) -> Option<String> {
        self.output().iter().find_map(|line| {
            let link = line.get(line.find("/setup?token=")?..)?;
            link.split(|c: char| c.is_whitespace() || "\"'\u{1b}".contains(c)).next().map(str::to_owned)
        })
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_none()
    }

    fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child of this process") {
            panic!("the server ended with {status}:\n{}", self.output().join("\n"));
        }
    }

    /// Ends it without a warning, as a power cut or the kernel's memory killer would.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of this process");
        self.child.wait().expect("a child of this process");
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, Signal::TERM).expect("a child of this process");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the server to end", async || child.try_wait().expect("a child of this process")).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let output = self.output();
            let last = output.get(output.len().saturating_sub(40)..).unwrap_or_default();
            #[expect(clippy::print_stderr, reason = "the test runner shows it beside the failure")]
            {
                eprintln!("the last lines of the server:\n{}", last.join("\n"));
            }
        }
    }
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Mutex<Vec<String>>>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            output.lock().expect("no panic holds it").push(line);
        }
    });
}

fn address_in(line: &str) -> Option<String> {
    let rest = line.get(line.find("listening on http://")?..)?.strip_prefix("listening on ")?;
    let port = rest.strip_prefix("http://127.0.0.1:")?;
    let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("http://127.0.0.1:{digits}"))
}
