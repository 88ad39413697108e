//! Bytes that the server has not acknowledged, on a blocking socket of std.
//!
//! After the last write, or while the send buffer is full, only these show that a slow server still
//! reads. On Linux it is a counter of `SO_MEMINFO` (since 4.12), other systems have none. The
//! library has the same for its own connections (`Io::unacknowledged`); this client has none, so it
//! asks itself.

use std::net::TcpStream;

#[cfg(target_os = "linux")]
mod meminfo {
    use std::net::TcpStream;

    use nix::sys::socket::getsockopt;

    /// The counters up to this one; the kernel has more.
    const COUNTERS: usize = 6;

    /// `SK_MEMINFO_WMEM_QUEUED`: memory of bytes not sent or not acknowledged.
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

    pub(super) fn of(stream: &TcpStream) -> Option<u32> {
        getsockopt(stream, MemInfo).ok()?.get(WMEM_QUEUED).copied()
    }
}

/// The last sample; `None` after a write.
#[derive(Default)]
pub(crate) struct Unacknowledged(Option<u32>);

impl Unacknowledged {
    /// Discards the sample after a write, which makes it incomparable.
    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }

    /// Takes a sample. Returns whether it is smaller than the last one, or, without one, whether it
    /// is not zero.
    pub(crate) fn has_shrunk(&mut self, stream: &TcpStream) -> bool {
        let left = of(stream).unwrap_or(0);
        self.0.replace(left).map_or(left > 0, |before| left < before)
    }
}

#[cfg(target_os = "linux")]
fn of(stream: &TcpStream) -> Option<u32> {
    meminfo::of(stream)
}

#[cfg(not(target_os = "linux"))]
fn of(_: &TcpStream) -> Option<u32> {
    None
}
