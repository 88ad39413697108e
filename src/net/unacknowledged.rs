//! The bytes of a stream that the peer has not acknowledged.
//!
//! Linux reports them with `SO_MEMINFO` (since 4.12), as the memory they need. `SIOCOUTQ` would
//! report bytes, but no crate has a safe call for it. Other systems, and a build without the
//! feature `sys`, report nothing.

#[cfg(all(feature = "sys", target_os = "linux"))]
mod meminfo {
    use std::os::fd::AsFd;

    use nix::sys::socket::getsockopt;

    /// The number of counters to fetch; the system has more of them.
    const COUNTERS: usize = 6;

    /// `SK_MEMINFO_WMEM_ALLOC`: of a Unix socket, what its peer has not read.
    const WMEM_ALLOC: usize = 2;

    /// `SK_MEMINFO_SNDBUF`: how much that may be.
    const SNDBUF: usize = 3;

    /// `SK_MEMINFO_WMEM_QUEUED`: of TCP, what is not sent or not acknowledged.
    const WMEM_QUEUED: usize = 5;

    #[derive(Clone, Copy)]
    struct MemInfo;

    nix::getsockopt_impl!(
        MemInfo,
        libc::SOL_SOCKET,
        libc::SO_MEMINFO,
        [u32; COUNTERS],
        nix::sys::socket::sockopt::GetStruct<[u32; COUNTERS]>
    );

    fn counter(socket: &impl AsFd, nth: usize) -> Option<u32> {
        getsockopt(socket, MemInfo).ok()?.get(nth).copied()
    }

    pub(crate) fn of_tcp(stream: &mio::net::TcpStream) -> Option<u32> {
        counter(stream, WMEM_QUEUED)
    }

    pub(crate) fn of_unix(stream: &mio::net::UnixStream) -> Option<u32> {
        counter(stream, WMEM_ALLOC)
    }

    /// Whether datagrams that peers have not read fill the send buffer of this socket.
    pub(crate) fn is_full(socket: &mio::net::UnixDatagram) -> bool {
        let info = getsockopt(socket, MemInfo).ok();
        info.is_some_and(|info| info.get(WMEM_ALLOC) >= info.get(SNDBUF))
    }
}

#[cfg(all(feature = "sys", target_os = "linux"))]
pub(super) use meminfo::{is_full, of_tcp, of_unix};

#[cfg(not(all(feature = "sys", target_os = "linux")))]
pub(super) fn of_tcp(_: &mio::net::TcpStream) -> Option<u32> {
    None
}

#[cfg(all(unix, not(all(feature = "sys", target_os = "linux"))))]
pub(super) fn of_unix(_: &mio::net::UnixStream) -> Option<u32> {
    None
}

#[cfg(all(unix, not(all(feature = "sys", target_os = "linux"))))]
pub(super) fn is_full(_: &mio::net::UnixDatagram) -> bool {
    false
}
