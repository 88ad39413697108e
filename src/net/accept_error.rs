//! Classifies the errors of accept(2).

use std::io;

/// The reaction to an error of accept(2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AcceptError {
    /// The backlog is empty.
    WouldBlock,
    /// One client is lost; the next can be accepted at once. accept(2): "treat them like EAGAIN".
    Transient,
    /// A resource is exhausted. The edge that announced the clients does not come again, so the
    /// loop has to retry later.
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
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSR, and any other (EINVAL of a listener that was shut
        // down): waiting is safe.
        _ => AcceptError::Exhausted,
    }
}

/// Errors of one client that [`io::ErrorKind`] does not name. accept(2): Linux "passes
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

/// Whether the system has no process, thread, descriptor or memory left just now, so that the same
/// call may succeed later (fork(2), clone(2), pipe(2)).
#[cfg(unix)]
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let codes = [libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

#[cfg(not(unix))]
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() == io::ErrorKind::OutOfMemory
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_passes_and_other_errors_do_not() {
        for code in [libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS] {
            assert!(is_shortage(&io::Error::from_raw_os_error(code)), "{code}");
        }
        for code in [libc::EPERM, libc::EINVAL, libc::ECONNRESET] {
            assert!(!is_shortage(&io::Error::from_raw_os_error(code)), "{code}");
        }
        // A full queue of our own.
        assert!(!is_shortage(&io::ErrorKind::WouldBlock.into()));
    }

    const WOULD_BLOCK: &[i32] = &[libc::EAGAIN, libc::EWOULDBLOCK];

    const ONE_CLIENT: &[i32] = &[
        libc::ECONNABORTED,
        libc::ECONNRESET,
        libc::EINTR,
        // A firewall rule or a security module forbids this client.
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
        // Errors that persist and concern no client, so a retry waits a while.
        libc::EBADF,
        libc::EFAULT,
        libc::EINVAL,
        libc::ENOTSOCK,
        libc::EIO,
    ];

    /// All errors of accept(2) on Linux, and those of the kernel's `inet_csk_accept` and
    /// `do_accept`.
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
