use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{runtime::Handle, time::timeout};

/// How much is read of what nobody wants: bodies a few times over the limit come from mistakes, whose senders shall see
/// the answer; larger ones are cut off.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long that may take.
const LONGEST: Duration = Duration::from_secs(5);
/// How long the sender may pause meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// A body whose rest is read and thrown away when it is dropped before its end.
///
/// A connection that is closed with unread bytes is reset, and the reset overtakes the answer: the sender of a body that is
/// too large would see a broken connection instead of the 413 (RFC 9112 §9.6). The answer is sent while the rest arrives.
pub(super) struct Drained {
    body: Option<Body>,
    /// Who waits for `100 Continue` has sent nothing until the body is asked for.
    is_coming: bool,
}

impl Drained {
    pub(super) fn new(body: Body, is_coming: bool) -> Self {
        Self { body: Some(body), is_coming }
    }
}

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_coming = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        // At the end there is no rest, and of what is broken none that could be read.
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && self.is_coming
            && !body.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(LONGEST, drain(body)));
        }
    }
}

async fn drain(mut body: Body) {
    let mut left = BYTES_MAX;
    while let Ok(Some(Ok(frame))) = timeout(PAUSE, body.frame()).await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(read) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::StreamExt as _;

    use super::*;

    /// A body of `mebibytes`, and how many of them were read.
    fn counted(mebibytes: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let frames = futures_util::stream::iter(0..mebibytes).map(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![0; 1024 * 1024]))
        });
        (Body::from_stream(frames), read)
    }

    async fn settled(read: &AtomicUsize) -> usize {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        read.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn the_rest_is_read_up_to_the_bound() {
        // A28
        for (mebibytes, expected) in [(1, 1), (3, 3), (40, 5)] {
            let (body, read) = counted(mebibytes);
            drop(Drained::new(body, true));
            assert_eq!(settled(&read).await, expected);
        }
    }

    #[tokio::test]
    async fn a_body_that_was_read_or_waits_to_be_asked_for_is_left_alone() {
        let (body, read) = counted(2);
        assert_eq!(Drained::new(body, true).collect().await.unwrap().to_bytes().len(), 2 * 1024 * 1024);
        assert_eq!(settled(&read).await, 2);
        let (body, read) = counted(2);
        drop(Drained::new(body, false));
        assert_eq!(settled(&read).await, 0);
        let mut begun = Drained::new(counted(3).0, false);
        assert!(begun.frame().await.is_some());
    }
}
