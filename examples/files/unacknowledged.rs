//! What the system has taken for the server, and the server has not acknowledged.
//!
//! After the last byte is written, or while the system has no room for more, only this says whether a
//! slow server, or one behind a slow link, takes anything. Linux says it with `SO_MEMINFO` (since
//! 4.12), as the memory that it needs for that; other systems say nothing.

use std::net::TcpStream;

#[cfg(target_os = "linux")]
mod meminfo {
    use std::net::TcpStream;

    use nix::sys::socket::getsockopt;

    /// As many counters as are asked for; the system knows more of them.
    const COUNTERS: usize = 6;

    /// `SK_MEMINFO_WMEM_QUEUED`: what is not sent or not acknowledged.
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

/// What was on its way at the last look, if nothing was written since.
#[derive(Default)]
pub(crate) struct Unacknowledged(Option<u32>);

impl Unacknowledged {
    /// Something was written; the next look has nothing to compare with.
    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }

    /// Whether less is on its way than at the last look. When something was written since there is no
    /// telling; then whether anything is.
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
