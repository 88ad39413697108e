//! What an error of `accept` is about.

use std::io;

/// What to do about an error of `accept`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AcceptError {
    /// Nobody waits.
    WouldBlock,
    /// One client is lost; the next may be had at once. accept(2): "treat them like EAGAIN".
    Transient,
    /// The system is short of something. The edge that announced the clients will not come again,
    /// so it is for us to try again.
    Exhausted,
}

pub(crate) fn accept_error(error: &io::Error) -> AcceptError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::WouldBlock => AcceptError::WouldBlock,
        Kind::ConnectionAborted
        | Kind::ConnectionReset
        | Kind::PermissionDenied
        | Kind::Interrupted
        | Kind::TimedOut
        | Kind::NetworkDown
        | Kind::NetworkUnreachable
        | Kind::HostUnreachable
        | Kind::Unsupported => AcceptError::Transient,
        _ if is_client_error(error) => AcceptError::Transient,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSR, and whatever else there may be (EINVAL of a
        // listener that somebody has shut down): waiting is safe.
        _ => AcceptError::Exhausted,
    }
}

/// Errors of one client's connection that `ErrorKind` has no name for. accept(2): Linux "passes
/// already-pending network errors on the new socket as an error code from accept"; the last two are
/// among what "various Linux kernels can return".
#[cfg(unix)]
const CLIENT_ERRNOS: &[i32] = &[
    libc::EPROTO,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    libc::ENONET,
    libc::EPROTONOSUPPORT,
    libc::ESOCKTNOSUPPORT,
];

#[cfg(unix)]
fn is_client_error(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| CLIENT_ERRNOS.contains(&code))
}

#[cfg(not(unix))]
fn is_client_error(_: &io::Error) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const WOULD_BLOCK: &[i32] = &[libc::EAGAIN, libc::EWOULDBLOCK];

    const ONE_CLIENT: &[i32] = &[
        libc::ECONNABORTED,
        libc::ECONNRESET,
        libc::EINTR,
        // Rules of a firewall, or of a security module, forbid this client.
        libc::EPERM,
        libc::EACCES,
        // "already-pending network errors": "treat them like EAGAIN by retrying".
        libc::ENETDOWN,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
        // "Various Linux kernels can return other errors".
        libc::ESOCKTNOSUPPORT,
        libc::EPROTONOSUPPORT,
        libc::ETIMEDOUT,
    ];

    const SHORTAGE: &[i32] = &[
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::ENOSR,
        // No client is at fault: they last, so they are tried again only after a while.
        libc::EBADF,
        libc::EFAULT,
        libc::EINVAL,
        libc::ENOTSOCK,
        libc::EIO,
    ];

    /// All of accept(2) on Linux, and what `inet_csk_accept` and `do_accept` of the kernel can say.
    #[test]
    fn each_error_of_the_man_page_is_what_it_says() {
        for (codes, expected) in [
            (WOULD_BLOCK, AcceptError::WouldBlock),
            (ONE_CLIENT, AcceptError::Transient),
            (SHORTAGE, AcceptError::Exhausted),
        ] {
            for code in codes {
                let error = io::Error::from_raw_os_error(*code);
                assert_eq!(accept_error(&error), expected, "{error}");
            }
        }
    }
}
