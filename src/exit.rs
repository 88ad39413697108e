//! The error by which a handler ends the run of the server.

use std::error::Error;
use std::fmt;
use std::io;

/// The error by which a handler ends the run of the server (Python's `SystemExit`). It is not logged. If
/// the handler runs in the loop, the run ends: [`Server::serve_forever`](crate::Server::serve_forever),
/// `turn`, `shutdown` and `handle_request` return it. The connection, datagram socket, timer handler or
/// watched source that returned it is closed. In a thread or a process it ends that conversation only.
///
/// All others stay open and are not notified: the next run serves them, and dropping the server aborts them.
/// To end them in order, a handler calls [`Io::shutdown`](crate::Io::shutdown) instead.
///
/// ```
/// use std::io;
/// use socketserver::Exit;
///
/// fn handle(line: &[u8]) -> io::Result<()> {
///     if line == b"stop" { Err(Exit.into()) } else { Ok(()) }
/// }
///
/// assert!(Exit::is_exit(&handle(b"stop").unwrap_err()));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exit;

impl Exit {
    /// Whether `error` is an [`Exit`].
    #[must_use]
    pub fn is_exit(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Exit>)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handler asked for the end of the run")
    }
}

impl Error for Exit {}

impl From<Exit> for io::Error {
    fn from(exit: Exit) -> io::Error {
        io::Error::other(exit)
    }
}
