use std::sync::{Arc, Mutex};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, PATIENCE, app::person_body};

/// A caller of the server, signed in or not. It follows a server that is restarted on another port.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<Mutex<String>>,
    /// The bearer token it presents.
    pub access_token: Option<String>,
    /// What the next access token can be had for.
    pub refresh_token: String,
}

impl Client {
    pub(crate) fn new(base: Arc<Mutex<String>>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        Self { http, base, access_token: None, refresh_token: String::new() }
    }

    /// The same caller without a token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { access_token: None, refresh_token: String::new(), ..self.clone() }
    }

    /// The same caller of another server.
    #[must_use]
    pub fn at(&self, address: &str) -> Self {
        Self { base: Arc::new(Mutex::new(address.to_owned())), ..self.clone() }
    }

    /// The same caller with this access token.
    #[must_use]
    pub fn presenting(&self, access_token: &str) -> Self {
        Self { access_token: Some(access_token.to_owned()), refresh_token: String::new(), ..self.clone() }
    }

    /// The same caller with the tokens of a login or refresh.
    ///
    /// # Panics
    /// When the answer holds none.
    #[must_use]
    #[track_caller]
    pub fn with_tokens(&self, tokens: &Value) -> Self {
        let text =
            |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("no {name}: {tokens}")).to_owned();
        Self {
            access_token: Some(text("access_token")),
            refresh_token: text("refresh_token"),
            ..self.clone()
        }
    }

    /// The name of the key that signed its access token.
    ///
    /// # Panics
    /// When it has no token, or none with such a name.
    #[must_use]
    pub fn signed_by(&self) -> String {
        let header = self.access_token.as_ref().and_then(|token| token.split('.').next()).expect("a token");
        let json = BASE64_URL_SAFE_NO_PAD.decode(header).expect("base64url");
        let header: Value = serde_json::from_slice(&json).expect("JSON");
        header["kid"].as_str().expect("a kid").to_owned()
    }

    /// Tries to sign in.
    pub async fn try_login(&self, username: &str, password: &str) -> Answer {
        let body = json!({ "username": username, "password": password });
        self.anonymous().post("/auth/login", body).await
    }

    /// Signs in.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn login(&self, username: &str, password: &str) -> Self {
        self.with_tokens(&self.try_login(username, password).await.expect(200))
    }

    /// Host and port of the server.
    pub(crate) fn address(&self) -> String {
        let base = self.base.lock().expect("no panic holds it");
        base.strip_prefix("http://").expect("plain http").to_owned()
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let base = self.base.lock().expect("no panic holds it").clone();
        let request = self.http.request(method, format!("{base}{path}"));
        match &self.access_token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request with a JSON body, or none.
    ///
    /// # Errors
    /// When the connection failed before the answer was complete.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let asked = format!("{method} {path}");
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::read(asked, request.send().await?).await
    }

    /// As [`try_send`](Self::try_send), of a server that is there.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let asked = format!("{method} {path}");
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{asked}: {error:?}"))
    }

    /// Sends a request that was put together by hand.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send_raw(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        Answer::read(format!("a request of {}", response.url()), response).await.expect("a body")
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(&body)).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(&body)).await
    }

    /// `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(&body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// `POST` of an HTML form.
    pub async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::POST, path);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form(fields));
        self.send_raw(request).await
    }

    /// Makes somebody without any role at this address, and says their id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn add_person(&self, username: &str, email: &str) -> String {
        let mut body = person_body(username);
        body["email"] = email.into();
        let created = self.post("/people", body).await.expect(201);
        created["id"].as_str().expect("an id").to_owned()
    }

    /// Every item of a list, page by page. `path` may have a query.
    ///
    /// # Panics
    /// When a page is refused.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut next) = (Vec::new(), format!("{path}{joint}limit=200"));
        loop {
            let page = self.get(&next).await.expect(200);
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { return items };
            next = format!("{path}{joint}limit=200&cursor={cursor}");
        }
    }
}

/// Fields as a form or query.
#[must_use]
pub fn form(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        let one = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect::<String>()
    };
    fields
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect::<Vec<_>>()
        .join("&")
}
