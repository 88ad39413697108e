//! What can go wrong between a client and a server, by kind; and the limit behind it, if there is
//! one.

use std::io::{self, ErrorKind};

pub(crate) const WRONG_BYTES: &str = "wrong bytes";
pub(crate) const CLOSED: &str = "closed by the server";
pub(crate) const UNANSWERED: &str = "unanswered";
pub(crate) const UNSENT: &str = "never sent";
pub(crate) const NO_PORT: &str = "no local port left";
pub(crate) const NO_DESCRIPTOR: &str = "no descriptor left";
pub(crate) const NO_MEMORY: &str = "no memory left for sockets";
pub(crate) const BACKLOG_FULL: &str = "backlog of the server full";

/// An answer that is not what was sent.
pub(crate) fn wrong_bytes() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, WRONG_BYTES)
}

/// The server ended a connection that was not over.
pub(crate) fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, CLOSED)
}

/// The kind of an error, under which it is counted.
pub(crate) fn kind(error: &io::Error) -> String {
    if let Some(limit) = limit(error) {
        return limit.into();
    }
    match error.kind() {
        ErrorKind::InvalidData => WRONG_BYTES.into(),
        ErrorKind::UnexpectedEof => CLOSED.into(),
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "connection reset".into(),
        ErrorKind::TimedOut => "timed out".into(),
        ErrorKind::NotFound => "no such path".into(),
        _ => error.to_string(),
    }
}

fn limit(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::AddrNotAvailable => return Some(NO_PORT),
        ErrorKind::OutOfMemory => return Some(NO_MEMORY),
        ErrorKind::WouldBlock => return Some(BACKLOG_FULL),
        _ => {}
    }
    #[cfg(unix)]
    {
        let is = |code: i32| {
            // An error that tells its address too has its code in the text alone.
            error.raw_os_error() == Some(code)
                || error.raw_os_error().is_none()
                    && error.to_string().ends_with(&format!("(os error {code})"))
        };
        if is(libc::EMFILE) || is(libc::ENFILE) {
            return Some(NO_DESCRIPTOR);
        }
        if is(libc::ENOBUFS) || is(libc::ENOMEM) {
            return Some(NO_MEMORY);
        }
    }
    None
}

/// Whether it is worth trying again a moment later.
pub(crate) fn passes(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
