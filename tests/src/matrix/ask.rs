use reqwest::Method;
use serde_json::Value;

use crate::{Answer, Client};

/// Somebody who asks.
#[derive(Clone)]
pub struct Asker {
    /// What they are.
    pub name: &'static str,
    /// As whom to call.
    pub client: Client,
}

/// A request that is not sent yet.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// A JSON body.
    pub body: Option<Value>,
}

impl Request {
    /// The same with another parameter of the query.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(&crate::form(&[(name, value)]));
        self
    }

    /// Sends it. Of a stream that does not end, the head is the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, client: &Client) -> Answer {
        self.send_with(client, &[]).await
    }

    /// Sends it with these headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send_with(&self, client: &Client, headers: &[(&str, &str)]) -> Answer {
        let Self { method, path, body } = self;
        let mut request = client.request(method.clone(), path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let asked =
            body.as_ref().map_or(format!("{method} {path}"), |body| format!("{method} {path} {body}"));
        let response = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            return Answer { asked, status, headers, text: String::new() };
        }
        Answer::read(asked.clone(), response).await.unwrap_or_else(|error| panic!("{asked}: {error:?}"))
    }
}
