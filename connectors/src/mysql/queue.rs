//! The hand-over from the thread that reads to the source, bounded by bytes.
//!
//! The reader waits while the queue is full; the source never waits. Dropping either end ends both.

use std::sync::Arc;

use engine::error::Fault;
use engine::limit::SOURCE_QUEUE_BYTES;
use engine::source::Position;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::trouble::Trouble;

/// What a fault or a position counts for, so that any number of them is bounded too.
const SMALL_BYTES: usize = 1024;

/// Records in order, none of which is lost or doubled when the job goes on from `next`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) records: Vec<Vec<u8>>,
    /// Number of the first since the beginning.
    pub(super) first: u64,
    /// Where to go on: behind the transaction if this is the end of one, else before it.
    pub(super) next: Position,
    /// A transaction ends here.
    pub(super) boundary: bool,
}

/// What the reader has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Piece(Piece),
    /// No record, but a cut is allowed and goes on here: the snapshot is whole, or the log went on
    /// without a change of our table.
    Whole(Position),
    Fault(Fault),
}

impl News {
    fn bytes(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.records.iter().map(Vec::len).sum::<usize>() + SMALL_BYTES,
            Self::Whole(_) | Self::Fault(_) => SMALL_BYTES,
        }
    }
}

/// The reader's end.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    room: Arc<Semaphore>,
    news: UnboundedSender<(News, OwnedSemaphorePermit)>,
}

/// The source's end.
#[derive(Debug)]
pub(super) struct Inlet {
    room: Arc<Semaphore>,
    news: UnboundedReceiver<(News, OwnedSemaphorePermit)>,
}

/// Both ends of a new queue.
pub(super) fn queue() -> (Outlet, Inlet) {
    let bytes = usize::try_from(SOURCE_QUEUE_BYTES).expect("some MiB");
    let room = Arc::new(Semaphore::new(bytes));
    let (sender, receiver) = unbounded_channel();
    (Outlet { room: room.clone(), news: sender }, Inlet { room, news: receiver })
}

impl Outlet {
    /// Hands news over when there is room for them. What is larger than the queue has it alone.
    pub(super) async fn send(&self, news: News) -> Result<(), Trouble> {
        let bytes = u64::try_from(news.bytes()).unwrap_or(u64::MAX).min(SOURCE_QUEUE_BYTES);
        let bytes = u32::try_from(bytes).expect("no more than the queue has");
        let room = self.room.clone().acquire_many_owned(bytes).await;
        let room = room.map_err(|_closed| Trouble::Closed)?;
        self.news.send((news, room)).map_err(|_closed| Trouble::Closed)
    }

    /// Returns when the other end is gone.
    pub(super) async fn closed(&self) {
        self.news.closed().await;
    }
}

impl Inlet {
    /// The next news, if there are any by now.
    pub(super) fn take(&mut self) -> Option<News> {
        Some(self.news.try_recv().ok()?.0)
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn piece(bytes: usize) -> News {
        let records = vec![vec![b'x'; bytes]];
        News::Piece(Piece { records, first: 0, next: Position::of_number(0), boundary: true })
    }

    fn poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_full_queue_makes_the_reader_wait() {
        let (outlet, mut inlet) = queue();
        let large = usize::try_from(SOURCE_QUEUE_BYTES).unwrap();
        assert_eq!(inlet.take(), None);
        assert!(poll(&mut pin!(outlet.send(piece(large * 2)))).is_ready());
        let mut second = pin!(outlet.send(News::Whole(Position::of_number(7))));
        assert!(poll(&mut second).is_pending());
        assert!(matches!(inlet.take(), Some(News::Piece(_))));
        assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
        assert_eq!(inlet.take(), Some(News::Whole(Position::of_number(7))));
    }

    #[test]
    fn a_reader_learns_that_nobody_listens() {
        let (outlet, inlet) = queue();
        let large = usize::try_from(SOURCE_QUEUE_BYTES).unwrap();
        assert!(poll(&mut pin!(outlet.send(piece(large)))).is_ready());
        let mut waiting = pin!(outlet.send(piece(1)));
        assert!(poll(&mut waiting).is_pending());
        let mut closed = pin!(outlet.closed());
        assert!(poll(&mut closed).is_pending());
        drop(inlet);
        assert_eq!(poll(&mut waiting), Poll::Ready(Err(Trouble::Closed)));
        assert!(poll(&mut closed).is_ready());
    }
}
