use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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

/// A connection on which a server says one reply, and no more than one holds, until something is written to it. What is above that is
/// not handed on, and after it nothing is read or written any more: what a server says unasked would be taken for its answer to the
/// next command.
///
/// The limits are here and not where replies are read: the client of the library reads a line to its end before it looks how long it
/// is, and all lines so far anew with each one, without giving way to other tasks; and what it has read beyond a reply it shows nobody.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    said: Said,
    is_broken: Arc<AtomicBool>,
}

/// How much was said since the last command.
#[derive(Debug, Default)]
struct Said {
    bytes: usize,
    lines: usize,
    /// Of the line that has not ended yet.
    line_bytes: usize,
    reply: Reply,
}

impl Said {
    /// How many of `bytes` are of the reply, or `None` when it holds more than one may.
    fn add(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.reply.has_ended {
                return Some(at);
            }
            self.bytes += 1;
            self.line_bytes += 1;
            self.lines += usize::from(*byte == b'\n');
            if self.line_bytes > LINE_BYTES_MAX
                || self.bytes > REPLY_BYTES_MAX
                || self.lines > REPLY_LINES_MAX
            {
                return None;
            }
            if *byte == b'\n' {
                self.line_bytes = 0;
            }
            self.reply.add(*byte);
        }
        Some(bytes.len())
    }
}

/// Where a reply ends: with the first line that has no `-` behind its number (RFC 5321 §4.2.1). Here a line ends with `\r\n` and
/// with nothing else, as it does for the client of the library.
#[derive(Debug, Default)]
struct Reply {
    has_ended: bool,
    /// How many bytes its last line has so far, whether it is followed by another, and what came last.
    line_bytes: usize,
    goes_on: bool,
    last: u8,
}

impl Reply {
    fn add(&mut self, byte: u8) {
        let ends_a_line = self.last == b'\r' && byte == b'\n';
        self.last = byte;
        if ends_a_line {
            self.has_ended = !self.goes_on;
            (self.line_bytes, self.goes_on) = (0, false);
            return;
        }
        self.line_bytes += 1;
        self.goes_on |= self.line_bytes == 4 && byte == b'-';
    }
}

impl<S> Bounded<S> {
    /// `is_broken` is set when nothing goes over it any more.
    pub(super) fn new(stream: S, is_broken: Arc<AtomicBool>) -> Self {
        Self { stream, said: Said::default(), is_broken }
    }

    /// The connection, unless the server said more than it was asked.
    pub(super) fn into_inner(self) -> Option<S> {
        (!self.is_broken()).then_some(self.stream)
    }

    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    fn break_off(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
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
        if this.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let heard = buffer.filled().get(before..).unwrap_or_default();
        let of_reply = match this.said.add(heard) {
            Some(of_reply) if of_reply == heard.len() => return Poll::Ready(Ok(())),
            Some(of_reply) => {
                tracing::warn!("the mail server says more than it was asked");
                of_reply
            }
            None => {
                tracing::warn!("the mail server says more than a reply may hold");
                0
            }
        };
        this.break_off();
        buffer.set_filled(before + of_reply);
        // The reply counts; nothing after it does.
        Poll::Ready(if of_reply == 0 { Err(broken()) } else { Ok(()) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // The client of the library says QUIT to a broken server, and would listen again.
        if this.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        // What has come since the last reply, an end too, answers nothing that is written now.
        let mut unasked = [0];
        let mut unasked = ReadBuf::new(&mut unasked);
        if this.said.reply.has_ended && Pin::new(&mut this.stream).poll_read(context, &mut unasked).is_ready()
        {
            this.break_off();
            if !unasked.filled().is_empty() {
                tracing::warn!("the mail server says something that it was not asked");
            }
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
    io::Error::new(io::ErrorKind::InvalidData, "more than the reply of a mail server")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    #[test]
    fn a_reply_has_so_many_lines_and_bytes() {
        let is_reply = |text: String| Said::default().add(text.as_bytes()).is_some();
        let line = |bytes: usize| format!("{}\n", "x".repeat(bytes - 1));
        assert!(is_reply(line(LINE_BYTES_MAX)) && !is_reply(line(LINE_BYTES_MAX + 1)));
        assert!(is_reply("x".repeat(LINE_BYTES_MAX)) && !is_reply("x".repeat(LINE_BYTES_MAX + 1)));
        assert!(is_reply(line(7).repeat(REPLY_LINES_MAX)) && !is_reply(line(7).repeat(REPLY_LINES_MAX + 1)));
        assert!(is_reply(line(1_024).repeat(16)) && !is_reply(line(1_024).repeat(16) + "x"));
    }

    #[test]
    fn a_line_that_comes_in_parts_is_one() {
        let mut said = Said::default();
        let mut is_reply = |bytes: &[u8]| said.add(bytes).is_some();
        assert!(is_reply(&[b'x'; LINE_BYTES_MAX - 1]) && is_reply(b"\n") && is_reply(b"x\n"));
        assert!(is_reply(&[b'x'; LINE_BYTES_MAX]) && !is_reply(b"\n"));
    }

    #[test]
    fn a_reply_ends_with_its_last_line() {
        for (reply, more) in [
            ("250 taken\r\n", "250 x\r\n"),
            ("250-here\r\n250-b c\r\n250 AUTH\r\n", "2"),
            ("250\r\n", "\r\n"),
            ("250 a\nb\r\n", "x"),
            ("\r\n", "x"),
            ("250-a\r\n25\r\n", "x"),
        ] {
            assert_eq!(
                Said::default().add(format!("{reply}{more}").as_bytes()),
                Some(reply.len()),
                "{reply:?}"
            );
            let mut in_parts = Said::default();
            assert!(reply.bytes().all(|byte| in_parts.add(&[byte]) == Some(1)), "{reply:?}");
            assert_eq!(in_parts.add(more.as_bytes()), Some(0), "{reply:?}");
        }
    }

    fn bounded() -> (Bounded<DuplexStream>, DuplexStream) {
        let (client, server) = duplex(64 * 1_024);
        (Bounded::new(client, Arc::default()), server)
    }

    #[tokio::test]
    async fn what_comes_with_a_reply_is_not_heard_and_nothing_follows_it() {
        let (mut client, mut server) = bounded();
        server.write_all(b"250 taken\r\n250 x\r\n").await.unwrap();
        let mut heard = [0; 64];
        let read = client.read(&mut heard).await.unwrap();
        assert_eq!(heard.get(..read), Some(b"250 taken\r\n".as_slice()));
        assert!(client.is_broken() && client.read_u8().await.is_err());
        assert!(client.write_all(b"MAIL\r\n").await.is_err() && client.into_inner().is_none());
    }

    #[tokio::test]
    async fn what_comes_after_a_reply_or_the_end_is_met_before_the_next_command() {
        for closes in [false, true] {
            let (mut client, mut server) = bounded();
            server.write_all(b"250 taken\r\n").await.unwrap();
            client.read_exact(&mut [0; 11]).await.unwrap();
            client.write_all(b"RSET\r\n").await.unwrap();
            server.write_all(b"250 fine\r\n").await.unwrap();
            client.read_exact(&mut [0; 10]).await.unwrap();
            if closes {
                drop(server);
            } else {
                server.write_all(b"250 x\r\n").await.unwrap();
            }
            assert!(!client.is_broken() && client.write_all(b"MAIL\r\n").await.is_err(), "{closes}");
            assert!(client.is_broken());
        }
    }

    #[tokio::test]
    async fn each_command_has_a_reply_and_after_a_broken_one_there_is_no_other() {
        let (mut client, mut server) = bounded();
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
