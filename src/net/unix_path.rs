//! Paths of Unix sockets: reclaimed when their owner is provably dead, removed only when ours.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{unix_name, unsupported};
use crate::addr::Addr;

/// The path a listener was bound to; dropping it removes the path if it is still the same
/// socket. POSIX has no "remove if unchanged", so between the look and the removal there is a
/// gap of microseconds in which a successor's socket could be taken for ours.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Whose it is: a forked child closes its copy of the socket and leaves the path alone.
    process: u32,
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        let ours = process::id() == self.process
            && fs::symlink_metadata(&self.path)
                .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if ours {
            // Nobody is left to be told.
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn listen(
    addr: &Addr,
    backlog: i32,
) -> io::Result<(mio::net::UnixListener, Option<BoundPath>)> {
    let (socket, path) = bind(addr, Type::STREAM)?;
    socket.listen(backlog)?;
    Ok((mio::net::UnixListener::from_std(socket.into()), path))
}

/// A socket at this path or abstract name. The latter is no file: the system frees it itself.
pub(super) fn bind(addr: &Addr, kind: Type) -> io::Result<(Socket, Option<BoundPath>)> {
    if let Addr::Unix(path) = addr {
        return bind_path(path, kind).map(|(socket, path)| (socket, Some(path)));
    }
    let name = unix_name::sock_addr(addr).ok_or_else(|| unsupported(addr))??;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&name)?;
    Ok((socket, None))
}

fn bind_path(path: &Path, kind: Type) -> io::Result<(Socket, BoundPath)> {
    // The working directory may change before the path is removed, and peers have another. Where
    // it is so deep that no name holds all of it, the path is bound as it was given.
    let relative = path;
    let path = std::path::absolute(relative)?;
    let name = unix_name::of_path(&path).or_else(|_| unix_name::of_path(relative))?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    match socket.bind(&name) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            reclaim(&path, || probe(&name))?;
            socket.bind(&name)?;
        }
        bound => bound?,
    }
    let file = fs::symlink_metadata(&path)?;
    let (device, inode) = (file.dev(), file.ino());
    Ok((socket, BoundPath { path, device, inode, process: process::id() }))
}

/// Removes a socket that nobody listens on any more; an error when it is anything else. A
/// server that has bound but not yet called `listen` looks dead for that moment, which nothing
/// in POSIX can tell apart.
fn reclaim(path: &Path, probe: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // Systems give the number of a file that is gone to the next one. Not while it is open.
    let _pinned = pin(path);
    let before = fs::symlink_metadata(path)?;
    if !before.file_type().is_socket() {
        let what = "the path exists and is not a socket; it was left alone";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    match probe() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => {
            let what = "another server listens there";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
        }
    }
    let now = fs::symlink_metadata(path)?;
    if identity(&now) != identity(&before) {
        let what = "another server has just taken the path";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    fs::remove_file(path)
}

/// What tells a file from the next one at its path.
fn identity(file: &fs::Metadata) -> (u64, u64, i64, i64) {
    (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())
}

/// Keeps the file at this path, without opening what it stands for.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn pin(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// A socket cannot be opened elsewhere; the time of its last change has to do.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn pin(_: &Path) -> io::Result<fs::File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Connects to what is there. Not blocking, so that a live server with a full backlog cannot hold us
/// up. A live socket of another type refuses in another way than a dead one.
fn probe(name: &SockAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Somebody else reclaims it too, between our look and our removal.
    #[test]
    #[cfg_attr(miri, ignore = "it has no Unix sockets")]
    fn a_path_is_looked_at_again_before_it_is_reclaimed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let name = unix_name::of_path(&path).unwrap();
        let mut successor = None;
        let error = reclaim(&path, || {
            let told = probe(&name);
            fs::remove_file(&path).unwrap();
            successor = Some(UnixListener::bind(&path).unwrap());
            told
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        probe(&name).unwrap();
        drop(successor);
        reclaim(&path, || probe(&name)).unwrap();
        assert!(!path.exists());
    }
}
