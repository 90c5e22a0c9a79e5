use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{Client, PATIENCE};

impl Client {
    /// Writes a request byte by byte as the test wants it, and reads until the server closes the connection. The caller's
    /// token, the host and `connection: close` are added to `head`, whose lines end with `\r\n`.
    ///
    /// # Panics
    /// When the server does not answer and close in time.
    pub async fn wire(&self, head: &str, body: &[u8]) -> String {
        let address = self.address();
        let token = self.access_token.as_deref().map(|token| format!("authorization: Bearer {token}\r\n"));
        let token = token.unwrap_or_default();
        let mut connection = TcpStream::connect(&address).await.expect("the server to take a connection");
        let head = format!("{head}host: {address}\r\nconnection: close\r\n{token}\r\n");
        connection.write_all(head.as_bytes()).await.expect("the server to read");
        connection.write_all(body).await.expect("the server to read");
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
        read.expect("the server to answer").expect("the server to close in order");
        String::from_utf8_lossy(&answer).into_owned()
    }
}
