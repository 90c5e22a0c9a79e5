use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a line of a server may be: four times what RFC 5321 §4.5.3.1.5 allows it.
const LINE_BYTES_MAX: usize = 2_048;
/// How many lines a server may say before it is asked again; the longest reply in use, that to EHLO, has about 20.
const REPLY_LINES_MAX: usize = 100;
/// How many bytes.
const REPLY_BYTES_MAX: usize = 16 * 1_024;

/// A connection on which a server says no more than a reply holds until something is written to it. What is above that is not handed
/// on, and after it nothing is read or written any more.
///
/// The limits are here and not where replies are read: the client of the library reads a line to its end before it looks how long it
/// is, and all lines so far anew with each one, without giving way to other tasks.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    said: Said,
    is_broken: bool,
}

/// How much was said since the last command.
#[derive(Debug, Default)]
struct Said {
    bytes: usize,
    lines: usize,
    /// Of the line that has not ended yet.
    line_bytes: usize,
}

impl Said {
    /// Says whether that is still a reply.
    fn add(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.bytes += 1;
            self.line_bytes += 1;
            if self.line_bytes > LINE_BYTES_MAX || self.bytes > REPLY_BYTES_MAX {
                return false;
            }
            if *byte == b'\n' {
                self.line_bytes = 0;
                self.lines += 1;
            }
        }
        self.lines <= REPLY_LINES_MAX
    }
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, said: Said::default(), is_broken: false }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncTokioStream> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_broken {
            return Poll::Ready(Err(broken()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if this.said.add(buffer.filled().get(before..).unwrap_or_default()) {
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(before);
        this.is_broken = true;
        tracing::warn!("the mail server says more than a reply may hold");
        Poll::Ready(Err(broken()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // The client of the library says QUIT to a broken server, and would listen again.
        if this.is_broken {
            return Poll::Ready(Err(broken()));
        }
        this.said = Said::default();
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "more than a reply of a mail server may hold")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[test]
    fn a_reply_has_so_many_lines_and_bytes() {
        let is_reply = |text: String| Said::default().add(text.as_bytes());
        let line = |bytes: usize| format!("{}\n", "x".repeat(bytes - 1));
        assert!(is_reply(line(LINE_BYTES_MAX)) && !is_reply(line(LINE_BYTES_MAX + 1)));
        assert!(is_reply("x".repeat(LINE_BYTES_MAX)) && !is_reply("x".repeat(LINE_BYTES_MAX + 1)));
        assert!(is_reply(line(7).repeat(REPLY_LINES_MAX)) && !is_reply(line(7).repeat(REPLY_LINES_MAX + 1)));
        assert!(is_reply(line(1_024).repeat(16)) && !is_reply(line(1_024).repeat(16) + "x"));
    }

    #[test]
    fn a_line_that_comes_in_parts_is_one() {
        let mut said = Said::default();
        assert!(said.add(&[b'x'; LINE_BYTES_MAX - 1]) && said.add(b"\n") && said.add(b"x\n"));
        assert!(said.add(&[b'x'; LINE_BYTES_MAX]) && !said.add(b"\n"));
    }

    #[tokio::test]
    async fn each_command_has_a_reply_and_after_a_broken_one_there_is_no_other() {
        let (client, mut server) = duplex(64 * 1_024);
        let mut client = Bounded::new(client);
        let mut heard = vec![0; 7 * REPLY_LINES_MAX];
        for _ in 0..3 {
            server.write_all("250-x\r\n".repeat(REPLY_LINES_MAX).as_bytes()).await.unwrap();
            client.read_exact(&mut heard).await.unwrap();
            client.write_all(b"NOOP\r\n").await.unwrap();
        }
        server.write_all("250-x\r\n".repeat(REPLY_LINES_MAX + 1).as_bytes()).await.unwrap();
        heard.resize(7 * (REPLY_LINES_MAX + 1), 0);
        let error = client.read_exact(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(client.write_all(b"QUIT\r\n").await.is_err());
        assert!(client.read_u8().await.is_err());
    }
}
