use std::time::Duration;

use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use serde_json::json;
use stylobate_core::Problem;
use stylobate_tower_middleware::{
    ApiError, Context, CurrentPrincipal, LiveConnection, LiveEnd, ServerConnection, SocketProtocols,
    StrictQuery, problem_for,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{LiveItem, LiveQuery, LiveRoutes, telling::Telling};

/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long a client may take to read one message.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How long a closing handshake may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How many messages of a client are read between two pings; there is nothing that it could have to say.
const HEARD_MAX: u32 = 60;

/// What is read at once, and how large a message may be. Clients say next to nothing, and thousands of them are open at a time:
/// the library would give each of them 128 KiB.
const READ_BUFFER: usize = 1 << 10;
const MESSAGE_MAX: usize = 4 << 10;
const UNSENT_MAX: usize = 256 << 10;

/// The close code for those who are nobody, or nobody any more (of the private range of RFC 6455 §7.4.2).
const UNAUTHENTICATED: u16 = 4_001;
const GOING_AWAY: u16 = 1_001;
const PROTOCOL_ERROR: u16 = 1_002;
const NOT_UTF_8: u16 = 1_007;
const POLICY: u16 = 1_008;
const TOO_LARGE: u16 = 1_009;
const TRY_AGAIN_LATER: u16 = 1_013;

impl LiveRoutes {
    /// The handler of a route with a WebSocket. It is public to the guard: browsers are not told why a handshake failed, so those
    /// whose credential is refused are let in and closed at once, with 4001.
    ///
    /// # Errors
    /// 401 and 426 for requests that ask for no socket; those of the feed; 429 `too_many_connections`; 503 `draining`.
    pub async fn socket(
        State(routes): State<Self>,
        server: Option<Extension<ServerConnection>>,
        headers: HeaderMap,
        context: Context,
        principal: Result<CurrentPrincipal, ApiError>,
        StrictQuery(query): StrictQuery<LiveQuery>,
        upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    ) -> Result<Response, ApiError> {
        let upgrade = match (upgrade, &principal) {
            (Ok(upgrade), _) => upgrade,
            (Err(_), Err(_)) => {
                return Err(principal.err().unwrap_or_else(|| Problem::unauthenticated().into()));
            }
            (Err(_), Ok(_)) => {
                let mut response = ApiError::from(problem_for("upgrade_required")).into_response();
                response.headers_mut().insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
                return Ok(response);
            }
        };
        let upgrade = upgrade
            .protocols(SocketProtocols::of(&headers)?.chosen.map(str::to_owned))
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(UNSENT_MAX)
            .max_message_size(MESSAGE_MAX)
            .max_frame_size(MESSAGE_MAX);
        if let Err(refused) = principal {
            if refused.problem().status != 401 {
                return Err(refused);
            }
            return Ok(
                upgrade.on_upgrade(|mut socket| async move { close(&mut socket, UNAUTHENTICATED).await })
            );
        }
        let connection = routes.connections.open(&headers, &context.principal)?;
        let telling = Telling::begin(routes.feed, context.into_inner(), query.after.as_deref()).await?;
        // What was admitted may be gone before the handshake is done; the connection is counted either way.
        Ok(upgrade.on_upgrade(async move |socket| {
            let conversation = Conversation { telling, socket, heard: 0, is_answered: true };
            conversation.hold(connection).await;
            // Until here it had its place in the server.
            drop(server);
        }))
    }
}

/// A socket that is open.
struct Conversation {
    telling: Telling,
    socket: WebSocket,
    heard: u32,
    is_answered: bool,
}

/// Why the program ends a conversation by itself.
enum Over {
    /// The client has gone, or does not read.
    Gone,
    /// It says goodbye.
    Closed,
    /// It breaks a rule, the one with this close code.
    Broken(u16),
}

impl Conversation {
    async fn hold(mut self, mut connection: LiveConnection) {
        let code = tokio::select! {
            biased;
            end = connection.ended() => match end {
                LiveEnd::Refused => UNAUTHENTICATED,
                LiveEnd::Draining => GOING_AWAY,
                _ => TRY_AGAIN_LATER,
            },
            over = self.talk() => match over {
                Over::Gone => return,
                Over::Closed => {
                    // The library has its answer ready, with the code of the client, and sends it when it is asked for more.
                    let _ = timeout(CLOSE_WITHIN, to_the_end(&mut self.socket)).await;
                    return;
                }
                Over::Broken(code) => code,
            },
        };
        close(&mut self.socket, code).await;
    }

    async fn talk(&mut self) -> Over {
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        // After a message that took long, the next ping is due in full time.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                item = self.telling.next() => {
                    // Without the feed there is nothing to tell.
                    let Some(LiveItem { id, kind, data }) = item else { return Over::Gone };
                    let text = json!({ "type": kind, "id": id, "data": data }).to_string();
                    if self.send(Message::Text(text.into())).await.is_err() {
                        return Over::Gone;
                    }
                }
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Pong(_))) => self.is_answered = true,
                    Some(Ok(Message::Close(_))) => return Over::Closed,
                    Some(Err(error)) => return broken(&error).map_or(Over::Gone, Over::Broken),
                    None => return Over::Gone,
                    Some(Ok(_)) => {
                        self.heard += 1;
                        if self.heard > HEARD_MAX {
                            return Over::Broken(POLICY);
                        }
                    }
                },
                _ = pings.tick() => {
                    if !self.is_answered || self.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                        return Over::Gone;
                    }
                    (self.is_answered, self.heard) = (false, 0);
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), ()> {
        timeout(READ_WITHIN, self.socket.send(message)).await.map_err(|_| ())?.map_err(|_| ())
    }
}

/// The close code of what the client did wrong (RFC 6455 §7.4.1); `None` when the connection failed. axum does not let the kind of
/// an error be asked for, so this goes by how tungstenite's begin.
fn broken(error: &axum::Error) -> Option<u16> {
    let text = error.to_string();
    let codes = [("UTF-8", NOT_UTF_8), ("Space limit", TOO_LARGE), ("WebSocket protocol", PROTOCOL_ERROR)];
    codes.into_iter().find(|(kind, _)| text.starts_with(kind)).map(|(_, code)| code)
}

/// Says why, and waits a moment for the answer, so that the client hears it before the connection goes.
async fn close(socket: &mut WebSocket, code: u16) {
    let reason = match code {
        UNAUTHENTICATED => "unauthenticated",
        GOING_AWAY => "draining",
        PROTOCOL_ERROR => "protocol error",
        NOT_UTF_8 => "not UTF-8",
        POLICY => "too many messages",
        TOO_LARGE => "message too large",
        _ => "try again later",
    };
    let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
    let goodbye = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            to_the_end(socket).await;
        }
    };
    // Whoever does not answer is left.
    let _ = timeout(CLOSE_WITHIN, goodbye).await;
}

async fn to_the_end(socket: &mut WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}
