//! Which errors the man page of each system call allows.

/// Those of accept(2), with what "may already be pending on the new socket".
const ACCEPT: &[&str] = &[
    "EAGAIN",
    "EBADF",
    "ECONNABORTED",
    "EFAULT",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "EINTR",
    "EINVAL",
    "EMFILE",
    "ENETDOWN",
    "ENETUNREACH",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "ENONET",
    "ENOPROTOOPT",
    "ENOSR",
    "ENOTSOCK",
    "EOPNOTSUPP",
    "EPERM",
    "EPROTO",
    "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT",
    "ETIMEDOUT",
];
/// recv(2), read(2), tcp(7), ip(7), udp(7).
const RECEIVE: &[&str] = &[
    "EAGAIN",
    "EBADF",
    "ECONNREFUSED",
    "ECONNRESET",
    "EFAULT",
    "EHOSTUNREACH",
    "EINTR",
    "EINVAL",
    "EIO",
    "ENOMEM",
    "ENOTCONN",
    "ENOTSOCK",
    "ETIMEDOUT",
];
/// send(2), write(2), tcp(7), ip(7), udp(7).
const SEND: &[&str] = &[
    "EACCES",
    "EAGAIN",
    "EALREADY",
    "EBADF",
    "ECONNREFUSED",
    "ECONNRESET",
    "EDESTADDRREQ",
    "EFAULT",
    "EHOSTUNREACH",
    "EINTR",
    "EINVAL",
    "EISCONN",
    "EMSGSIZE",
    "ENETUNREACH",
    "ENOBUFS",
    "ENOMEM",
    "ENOTCONN",
    "ENOTSOCK",
    "EOPNOTSUPP",
    "EPERM",
    "EPIPE",
    "ETIMEDOUT",
];
const WRITE: &[&str] = &[
    "EAGAIN",
    "EBADF",
    "EDESTADDRREQ",
    "EDQUOT",
    "EFAULT",
    "EFBIG",
    "EINTR",
    "EINVAL",
    "EIO",
    "ENOSPC",
    "EPERM",
    "EPIPE",
];
const BIND: &[&str] = &[
    "EACCES",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "EBADF",
    "EFAULT",
    "EINVAL",
    "ELOOP",
    "ENAMETOOLONG",
    "ENOENT",
    "ENOMEM",
    "ENOTDIR",
    "ENOTSOCK",
    "EROFS",
];
const SOCKET: &[&str] = &[
    "EACCES",
    "EAFNOSUPPORT",
    "EINVAL",
    "EMFILE",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "EPROTONOSUPPORT",
];
const SOCKETPAIR: &[&str] =
    &["EAFNOSUPPORT", "EFAULT", "EMFILE", "ENFILE", "ENOMEM", "EOPNOTSUPP", "EPROTONOSUPPORT"];
const CONNECT: &[&str] = &[
    "EACCES",
    "EAGAIN",
    "EALREADY",
    "EBADF",
    "ECONNREFUSED",
    "EFAULT",
    "EINTR",
    "EISCONN",
    "ENOTSOCK",
    "EPERM",
    "EPROTOTYPE",
    "ETIMEDOUT",
];
const EPOLL_CTL: &[&str] =
    &["EBADF", "EEXIST", "EINVAL", "ELOOP", "ENOENT", "ENOMEM", "ENOSPC", "EPERM"];
const UNLINK: &[&str] = &[
    "EACCES",
    "EBUSY",
    "EFAULT",
    "EIO",
    "EISDIR",
    "ELOOP",
    "ENAMETOOLONG",
    "ENOENT",
    "ENOMEM",
    "ENOTDIR",
    "EPERM",
    "EROFS",
];
const STAT: &[&str] =
    &["EACCES", "EFAULT", "ELOOP", "ENAMETOOLONG", "ENOENT", "ENOMEM", "ENOTDIR", "EOVERFLOW"];

/// A row for each call that is traced; the names are those of Linux, where each architecture lacks
/// some of them.
const TABLE: &[(&str, &[&str])] = &[
    ("accept4", ACCEPT),
    ("bind", BIND),
    ("clone", &["EAGAIN", "EINVAL", "ENOMEM", "EPERM"]),
    ("clone3", &["EAGAIN", "EBUSY", "EINVAL", "ENOMEM", "ENOSPC", "EPERM", "EUSERS"]),
    ("close", &["EBADF", "EDQUOT", "EINTR", "EIO", "ENOSPC"]),
    ("connect", CONNECT),
    ("epoll_create1", &["EINVAL", "EMFILE", "ENFILE", "ENOMEM"]),
    ("epoll_ctl", EPOLL_CTL),
    ("epoll_pwait", &["EBADF", "EFAULT", "EINTR", "EINVAL"]),
    ("epoll_wait", &["EBADF", "EFAULT", "EINTR", "EINVAL"]),
    ("eventfd2", &["EINVAL", "EMFILE", "ENFILE", "ENODEV", "ENOMEM"]),
    ("fcntl", &["EACCES", "EAGAIN", "EBADF", "EINTR", "EINVAL", "EMFILE", "EPERM"]),
    ("getpeername", &["EBADF", "EFAULT", "EINVAL", "ENOBUFS", "ENOTCONN", "ENOTSOCK"]),
    ("getsockname", &["EBADF", "EFAULT", "EINVAL", "ENOBUFS", "ENOTSOCK"]),
    ("getsockopt", &["EBADF", "EFAULT", "EINVAL", "ENOPROTOOPT", "ENOTSOCK"]),
    ("ioctl", &["EBADF", "EFAULT", "EINVAL", "ENOTTY"]),
    ("kill", &["EINVAL", "EPERM", "ESRCH"]),
    ("listen", &["EADDRINUSE", "EBADF", "ENOTSOCK", "EOPNOTSUPP"]),
    ("newfstatat", STAT),
    ("pipe2", &["EFAULT", "EINVAL", "EMFILE", "ENFILE", "ENOPKG"]),
    ("prlimit64", &["EFAULT", "EINVAL", "EPERM", "ESRCH"]),
    ("read", RECEIVE),
    ("recvfrom", RECEIVE),
    ("recvmmsg", RECEIVE),
    ("recvmsg", RECEIVE),
    ("rt_sigaction", &["EFAULT", "EINVAL"]),
    ("sendmmsg", SEND),
    ("sendmsg", SEND),
    ("sendto", SEND),
    ("setsockopt", &["EBADF", "EFAULT", "EINVAL", "ENOMEM", "ENOPROTOOPT", "ENOTSOCK"]),
    ("shutdown", &["EBADF", "EINVAL", "ENOTCONN", "ENOTSOCK"]),
    ("socket", SOCKET),
    ("socketpair", SOCKETPAIR),
    ("statx", STAT),
    ("unlink", UNLINK),
    ("unlinkat", UNLINK),
    ("wait4", &["ECHILD", "EINTR", "EINVAL", "ESRCH"]),
    ("write", WRITE),
    ("writev", WRITE),
];

pub(crate) fn of(call: &str) -> &'static [&'static str] {
    TABLE.iter().find(|(name, _)| *name == call).map_or(&[], |(_, errnos)| errnos)
}

/// The calls, as strace wants to be told of them: without an error for those it does not know.
pub(crate) fn calls() -> String {
    TABLE.iter().map(|(call, _)| format!("?{call}")).collect::<Vec<_>>().join(",")
}
