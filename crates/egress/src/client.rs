use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use crate::{AddressPolicy, Answer, Ending, Error, Lookup, SystemLookup, Target, connect::connect, tls};

/// How much a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the lookup of the name to the last byte of the answer. 5 s unless set.
    pub total: Duration,
    /// The connection, over all addresses of the name. 2 s unless set.
    pub connect: Duration,
    /// How much of a body is read, in bytes. 1 MiB unless set.
    pub answer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: Duration::from_secs(5), connect: Duration::from_secs(2), answer_bytes_max: 1 << 20 }
    }
}

/// How long the head of an answer may be: four times what servers take of a request.
const HEAD_BYTES_MAX: usize = 32 * 1_024;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Whom.
    pub target: Target,
    /// Headers beside `Host`, `Content-Length` and those about the connection, which the client writes itself.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How much of the answer's body is read, when that is less than the client's limit.
    pub answer_bytes_max: Option<usize>,
}

impl Request {
    /// `GET` without a body.
    #[must_use]
    pub fn get(target: Target) -> Self {
        Self::new(Method::GET, target, Bytes::new())
    }

    /// `POST` of `body`.
    #[must_use]
    pub fn post(target: Target, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, target, body.into())
    }

    fn new(method: Method, target: Target, body: Bytes) -> Self {
        Self { method, target, headers: HeaderMap::new(), body, answer_bytes_max: None }
    }
}

/// Asks others over HTTP/1.1, within bounds. Clone it freely.
///
/// 1. Addresses are checked when connecting, for every request anew, and what is connected to is what was checked. Connections are
///    not kept, so none outlives the answer that was checked.
/// 2. No redirect is followed, no proxy of the environment is asked, no cookie is kept, nothing is tried again, and bodies come as
///    they are sent: without compression there is nothing that unfolds.
/// 3. Time and length are bounded as [`Limits`] say; a call that is dropped leaves no connection behind.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    policy: AddressPolicy,
    limits: Limits,
    lookup: Arc<dyn Lookup>,
    tls: TlsConnector,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { policy, limits, lookup, .. } = &*self.shared;
        f.debug_struct("Client")
            .field("policy", policy)
            .field("limits", limits)
            .field("lookup", lookup)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Client`].
#[derive(Debug)]
pub struct ClientBuilder {
    policy: AddressPolicy,
    limits: Limits,
    lookup: Arc<dyn Lookup>,
    roots: RootCertStore,
}

impl ClientBuilder {
    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks `lookup` for the addresses of names, instead of the system.
    #[must_use]
    pub fn lookup(mut self, lookup: Arc<dyn Lookup>) -> Self {
        self.lookup = lookup;
        self
    }

    /// Trusts servers whose certificates come from an authority in `pem`, and from no other.
    ///
    /// # Errors
    /// [`Error::Roots`].
    pub fn trust_only(mut self, pem: &str) -> Result<Self, Error> {
        self.roots = tls::roots_of(pem)?;
        Ok(self)
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`Error::TlsFailed`] when TLS cannot be used at all.
    pub fn build(self) -> Result<Client, Error> {
        let tls = tls::connector(self.roots)?;
        let Self { policy, limits, lookup, .. } = self;
        Ok(Client { shared: Arc::new(Shared { policy, limits, lookup, tls }) })
    }
}

impl Client {
    /// A client that connects to what `policy` allows.
    #[must_use]
    pub fn builder(policy: AddressPolicy) -> ClientBuilder {
        ClientBuilder {
            policy,
            limits: Limits::default(),
            lookup: Arc::new(SystemLookup::default()),
            roots: tls::public_roots(),
        }
    }

    /// What the client connects to.
    #[must_use]
    pub fn policy(&self) -> &AddressPolicy {
        &self.shared.policy
    }

    /// How much a request may take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.limits
    }

    /// Asks, and reads what is answered, whatever its status is.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the host must not be connected to; [`Error::Busy`] when nobody was asked;
    /// [`Error::NameUnresolved`], [`Error::ConnectFailed`], [`Error::TlsFailed`], [`Error::Timeout`] and [`Error::Broken`] when there is no status. A body that could not be read to
    /// its end is no error: see [`Answer::ending`].
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let limits = self.shared.limits;
        let deadline = Instant::now() + limits.total;
        let bytes_max = request.answer_bytes_max.unwrap_or(usize::MAX).min(limits.answer_bytes_max);
        let asked = timeout_at(deadline, self.ask(request)).await;
        let (answer, _connection) = asked.map_err(|_| Error::Timeout)??;
        let (head, body) = answer.into_parts();
        let (body, ending) = read(body, bytes_max, deadline).await;
        Ok(Answer { status: head.status, headers: head.headers, body, ending })
    }

    async fn ask(&self, request: Request) -> Result<(http::Response<Incoming>, Connection), Error> {
        let Shared { policy, limits, lookup, tls: connector } = &*self.shared;
        let target = &request.target;
        // It may have been read under another policy.
        target.check(policy)?;
        let stream = connect(policy, &**lookup, target, limits.connect).await?;
        if target.is_https() {
            let stream = tls::agree(connector, target.host(), stream).await?;
            exchange(stream, request).await
        } else {
            exchange(stream, request).await
        }
    }
}

/// The task that a connection is driven by; it ends with this.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange<S>(stream: S, request: Request) -> Result<(http::Response<Incoming>, Connection), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| Error::Broken(Some(Box::new(error)));
    let mut builder = http1::Builder::new();
    let handshake = builder.max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(broken)?;
    let connection = Connection(tokio::spawn(async move {
        // What goes wrong is told to whoever asks.
        let _ = connection.await;
    }));
    let answer = sender.send_request(message(request)?).await.map_err(broken)?;
    Ok((answer, connection))
}

fn message(request: Request) -> Result<HttpRequest<Full<Bytes>>, Error> {
    let host = HeaderValue::try_from(request.target.authority()).map_err(|_| Error::Broken(None))?;
    let mut message = HttpRequest::new(Full::new(request.body));
    *message.method_mut() = request.method;
    *message.uri_mut() = request.target.path().clone().into();
    let mut headers = request.headers;
    for name in [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::EXPECT,
    ] {
        headers.remove(name);
    }
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let agent = HeaderValue::from_static(concat!("stylobate/", env!("CARGO_PKG_VERSION")));
    headers.entry(header::USER_AGENT).or_insert(agent);
    *message.headers_mut() = headers;
    Ok(message)
}

async fn read(mut body: Incoming, bytes_max: usize, deadline: Instant) -> (Bytes, Ending) {
    let mut read = BytesMut::new();
    let ending = loop {
        if body.is_end_stream() {
            break Ending::Whole;
        }
        match timeout_at(deadline, body.frame()).await {
            Err(_) => break Ending::TimedOut,
            Ok(None) => break Ending::Whole,
            Ok(Some(Err(_))) => break Ending::Broken,
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                let room = bytes_max - read.len();
                read.extend_from_slice(data.get(..room).unwrap_or(&data));
                if data.len() > room {
                    break Ending::TooLarge { bytes_max };
                }
            }
        }
    };
    (read.freeze(), ending)
}
