//! Paths of Unix sockets: reclaimed when their owner is provably dead, removed only when ours.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;

use socket2::{Domain, SockAddr, Socket, Type};

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

pub(super) fn listen(path: &Path, backlog: i32) -> io::Result<(mio::net::UnixListener, BoundPath)> {
    let (socket, path) = bind(path, Type::STREAM)?;
    socket.listen(backlog)?;
    Ok((mio::net::UnixListener::from_std(socket.into()), path))
}

pub(super) fn bind(path: &Path, kind: Type) -> io::Result<(Socket, BoundPath)> {
    // The working directory may change before the path is removed.
    let path = std::path::absolute(path)?;
    let name = SockAddr::unix(&path)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    match socket.bind(&name) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            reclaim(&path)?;
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
fn reclaim(path: &Path) -> io::Result<()> {
    let before = fs::symlink_metadata(path)?;
    if !before.file_type().is_socket() {
        let what = "the path exists and is not a socket; it was left alone";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    // Not blocking, so that a live server with a full backlog cannot hold us up. A live socket of
    // another type refuses in another way than a dead one.
    match mio::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => {
            let what = "another server listens there";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
        }
    }
    let now = fs::symlink_metadata(path)?;
    if (now.dev(), now.ino()) != (before.dev(), before.ino()) {
        let what = "another server has just taken the path";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    fs::remove_file(path)
}
