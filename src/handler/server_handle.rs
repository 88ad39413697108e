//! Control of a server from other threads.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::id::SocketId;
use crate::io::Io;
use crate::io::mailbox::Mailbox;
use crate::stats::ShutdownReport;

/// Controls a server from any thread, at any time: before it runs, from inside its handlers,
/// repeatedly, and after its end. It wakes the loop at once.
///
/// ```
/// use std::time::Duration;
/// use socketserver::{Options, Server};
///
/// let mut server = Server::with_shared(0, Options::default())?;
/// let handle = server.handle();
/// let other = std::thread::spawn(move || {
///     handle.post(|count, _io| *count += 1).unwrap();
///     handle.shutdown(Duration::from_secs(1));
///     handle.wait(Duration::from_secs(10)).expect("the run has ended")
/// });
/// server.serve_forever()?;
/// assert_eq!(*server.shared(), 1);
/// assert_eq!(other.join().unwrap().forced, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ServerHandle<S = ()> {
    pub(crate) mailbox: Arc<Mailbox<Command<S>>>,
}

/// A function that another thread posts to the loop.
pub(crate) type Command<S> = Box<dyn FnOnce(&mut S, &mut Io) + Send>;

impl<S> ServerHandle<S> {
    /// Calls `command` in the loop, in its next turn. A panic in it is logged and ends nothing.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when
    /// [`Options::post_queue`](crate::Options::post_queue) commands wait,
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the server was dropped.
    pub fn post(&self, command: impl FnOnce(&mut S, &mut Io) + Send + 'static) -> io::Result<()> {
        self.mailbox.post(Box::new(command))
    }

    /// [`Io::send`] from another thread. Only the loop knows whether `id` is still open.
    ///
    /// # Errors
    /// As [`ServerHandle::post`].
    pub fn send(&self, id: SocketId, bytes: impl Into<Vec<u8>>) -> io::Result<()> {
        let bytes = bytes.into();
        self.post(move |_, io| {
            io.send(id, &bytes);
        })
    }

    /// [`Io::shutdown`] from another thread (Python's `shutdown`, without its wait). Before the
    /// first run it ends that run at once. `false` when there is nothing to end: between two runs,
    /// and when the server was dropped.
    #[allow(clippy::must_use_candidate, reason = "most are content that nothing runs any more")]
    pub fn shutdown(&self, grace: Duration) -> bool {
        self.mailbox.post_stop(grace)
    }

    /// Waits until the present run has ended, or the first one if none has begun. `None` when that
    /// takes longer than `timeout`, or the server was dropped without having run. A handler must
    /// not call this: it would wait for itself.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<ShutdownReport> {
        self.mailbox.wait(timeout)
    }
}

impl<S> Clone for ServerHandle<S> {
    fn clone(&self) -> ServerHandle<S> {
        ServerHandle { mailbox: Arc::clone(&self.mailbox) }
    }
}

impl<S> fmt::Debug for ServerHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerHandle").field(&self.mailbox).finish()
    }
}
