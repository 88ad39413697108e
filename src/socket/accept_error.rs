//! What an error of `accept` is about.

use std::io;

/// What to do about an error of `accept`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AcceptError {
    /// Nobody waits.
    Nobody,
    /// One client is lost; the next may be had at once. accept(2): "treat them like EAGAIN".
    OneClient,
    /// The system is short of something. The edge that announced the clients will not come again,
    /// so it is for us to try again.
    Shortage,
}

pub(crate) fn accept_error(error: &io::Error) -> AcceptError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::WouldBlock => AcceptError::Nobody,
        Kind::ConnectionAborted
        | Kind::ConnectionReset
        | Kind::PermissionDenied
        | Kind::Interrupted
        | Kind::TimedOut
        | Kind::NetworkDown
        | Kind::NetworkUnreachable
        | Kind::HostUnreachable
        | Kind::Unsupported => AcceptError::OneClient,
        _ if is_protocol_error(error) => AcceptError::OneClient,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else there may be: waiting is safe.
        _ => AcceptError::Shortage,
    }
}

/// Errors of one client's connection that `ErrorKind` has no name for.
#[cfg(unix)]
fn is_protocol_error(error: &io::Error) -> bool {
    let raw = error.raw_os_error();
    [libc::EPROTO, libc::ENOPROTOOPT, libc::EHOSTDOWN].into_iter().any(|code| raw == Some(code))
}

#[cfg(not(unix))]
fn is_protocol_error(_: &io::Error) -> bool {
    false
}
