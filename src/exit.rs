//! The error with which a handler ends the whole run of the server.

use std::error::Error;
use std::fmt;
use std::io;

/// What Python's handlers raise as `SystemExit`: the error of a handler that is no error. It is not
/// reported as one; where the handler runs in the loop, the run of the server ends, and
/// [`Server::serve_forever`](crate::Server::serve_forever) returns it, as `turn`, `shutdown` and
/// `handle_request` do. That holds for connections, datagrams, alarms and watched sources alike, each
/// of which ends with it. In a thread or a process of its own it ends that conversation alone.
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
    /// Whether an error is this one.
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
