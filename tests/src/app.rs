use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stylobate_testkit::certificates::AUTHORITY;

use crate::{Client, Engine, PASSWORD, Place, Program, Proxy, Server, eventually};

/// A running installation with an administrator.
pub struct TestApp {
    // Dropped first: the database under a running server cannot go.
    server: Server,
    program: Program,
    base: Arc<Mutex<String>>,
    /// Where it runs.
    pub place: Place,
    /// What stands between it and its database, when that was asked for.
    pub proxy: Option<Proxy>,
}

/// Somebody who can sign in.
#[derive(Clone)]
pub struct Person {
    /// The id.
    pub id: String,
    /// The username.
    pub username: String,
    /// As whom to call.
    pub client: Client,
}

/// How a [`TestApp`] begins.
pub struct TestAppBuilder {
    engine: Engine,
    environment: Vec<(String, String)>,
    dotenv: Option<String>,
    has_administrator: bool,
    has_proxy: bool,
    mail_url: Option<String>,
}

impl TestAppBuilder {
    /// Sets a variable of the server and of commands beside it.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a `.env` into the folder it is started in.
    #[must_use]
    pub fn dotenv(mut self, text: &str) -> Self {
        self.dotenv = Some(text.to_owned());
        self
    }

    /// Leaves the database empty.
    #[must_use]
    pub fn without_administrator(mut self) -> Self {
        self.has_administrator = false;
        self
    }

    /// Reaches PostgreSQL through a [`Proxy`] that the test can cut.
    #[must_use]
    pub fn behind_proxy(mut self) -> Self {
        self.has_proxy = true;
        self
    }

    /// Sends mail by the server at `url`, as `Example <no-reply@example.test>`; the certificates of a
    /// [`MailServer`](crate::MailServer) are trusted.
    #[must_use]
    pub fn mail(mut self, url: &str) -> Self {
        self.mail_url = Some(url.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(self) -> TestApp {
        let place = Place::new(self.engine).await;
        if let Some(text) = self.dotenv {
            std::fs::write(place.folder().join(".env"), text).expect("the .env to be written");
        }
        let mut program = Program::at(&place);
        let mut proxy = None;
        if self.has_proxy {
            let started = Proxy::start(place.postgres_address().expect("PostgreSQL")).await;
            program = program.with_all(place.environment_through(started.port()));
            proxy = Some(started);
        }
        if let Some(url) = self.mail_url {
            let authority = place.folder().join("mail-authority.pem");
            std::fs::write(&authority, AUTHORITY).expect("the certificate to be written");
            program = program.env("SMTP_URL", url.clone());
            // Without TLS there is no certificate, and who vouches for it would have no effect.
            if !url.contains("tls=none") {
                program = program.env("SMTP_CA_FILE", authority.display().to_string());
            }
            program = program.env("MAIL_FROM", "Example <no-reply@example.test>");
        }
        for (name, value) in self.environment {
            program = program.env(&name, value);
        }
        let server = Server::start(&program).await;
        let base = Arc::new(Mutex::new(server.address().to_owned()));
        let app = TestApp { server, program, base, place, proxy };
        if self.has_administrator {
            app.create_superuser("admin").await;
        }
        app
    }
}

impl TestApp {
    /// How it begins.
    #[must_use]
    pub fn builder(engine: Engine) -> TestAppBuilder {
        TestAppBuilder {
            engine,
            environment: Vec::new(),
            dotenv: None,
            has_administrator: true,
            has_proxy: false,
            mail_url: None,
        }
    }

    /// A running server with an administrator called `admin`.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(engine: Engine) -> Self {
        Self::builder(engine).start().await
    }

    /// Makes somebody who may do everything, by the command beside the running server.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create_superuser(&self, username: &str) {
        let email = format!("{username}@example.org");
        let arguments =
            ["createsuperuser", "--username", username, "--email", &email, "--first-name", "Grace"];
        let rest = ["--last-name", "Hopper", "--password", PASSWORD, "--no-input"];
        let arguments: Vec<&str> = arguments.into_iter().chain(rest).collect();
        self.program.run(&arguments).await.expect_success();
    }

    /// Somebody without a token.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(Arc::clone(&self.base))
    }

    /// Signs in.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn login(&self, username: &str) -> Client {
        self.anonymous().login(username, PASSWORD).await
    }

    /// The administrator, signed in and known to the running server as what it is.
    ///
    /// # Panics
    /// When the server does not let it do anything in time.
    pub async fn administrator(&self) -> Client {
        let client = self.login("admin").await;
        // The command wrote beside the server, which may take a moment to see the role.
        eventually("the administrator's role", async || {
            (client.get("/people?limit=1").await.status == 200).then_some(())
        })
        .await;
        client
    }

    /// Creates somebody without any role and signs in as them.
    ///
    /// # Panics
    /// When either is refused.
    pub async fn person(&self, administrator: &Client, username: &str) -> Person {
        let body = person_body(username);
        let created = administrator.post("/people", body).await.expect(201);
        let id = created["id"].as_str().expect("an id").to_owned();
        Person { id, username: username.to_owned(), client: self.login(username).await }
    }

    /// The program with this installation's environment.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The running server.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Starts a further server on the same place, and gives a way to call it.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn another_server(&self) -> (Server, Client) {
        let server = Server::start(&self.program).await;
        let client = Client::new(Arc::new(Mutex::new(server.address().to_owned())));
        (server, client)
    }

    /// Starts a further server that reaches PostgreSQL past the [`Proxy`], and gives a way to call it.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn another_server_past_the_proxy(&self) -> (Server, Client) {
        let server = Server::start(&Program::at(&self.place)).await;
        let client = Client::new(Arc::new(Mutex::new(server.address().to_owned())));
        (server, client)
    }

    /// Kills the server and starts it again; clients follow.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn kill_and_restart(&mut self) {
        self.server.kill();
        self.restart().await;
    }

    /// Starts a server that has ended again; clients follow.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart(&mut self) {
        self.server = Server::start(&self.program).await;
        *self.base.lock().expect("no panic holds it") = self.server.address().to_owned();
    }
}

/// What creates a person who can sign in.
pub(crate) fn person_body(username: &str) -> Value {
    json!({
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": username,
        "email": format!("{username}@example.org"),
        "password": PASSWORD,
    })
}
