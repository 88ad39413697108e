//! Paths of Unix sockets: reclaimed when their owner is provably dead, removed only when ours.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
#[cfg(feature = "sys")]
use std::thread;
#[cfg(feature = "sys")]
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{unix_name, unsupported};
use crate::addr::Addr;

/// The path that a socket was bound to. Dropping it removes the path if it still is the same
/// socket. POSIX has no "remove if unchanged"; the lock of the directory keeps servers of this
/// library from binding the path between the check and the removal.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// The owner: a forked child closes its copy of the socket and keeps the path.
    process: u32,
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if process::id() != self.process {
            return;
        }
        let _turn = lock_directory(&self.path);
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if ours {
            // A drop cannot report an error.
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn listen(
    addr: &Addr,
    backlog: i32,
) -> io::Result<(mio::net::UnixListener, Option<BoundPath>)> {
    // Until it listens the socket looks like that of a dead server.
    let _turn = lock_directory_of(addr);
    let (socket, path) = bind_locked(addr, Type::STREAM)?;
    socket.listen(backlog)?;
    Ok((mio::net::UnixListener::from_std(socket.into()), path))
}

/// A socket bound to this path or abstract name. An abstract name is no file; the system frees it.
pub(super) fn bind(addr: &Addr, kind: Type) -> io::Result<(Socket, Option<BoundPath>)> {
    let _turn = lock_directory_of(addr);
    bind_locked(addr, kind)
}

fn bind_locked(addr: &Addr, kind: Type) -> io::Result<(Socket, Option<BoundPath>)> {
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
    // The working directory may change before the path is removed, and peers have another. An
    // absolute path that is too long for a name is bound as it was given.
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

/// Removes a socket without a listener; any other file is an error. A server between bind(2) and
/// listen(2) looks dead for that moment, which POSIX cannot tell apart; a server of this library has
/// the lock of the directory then.
fn reclaim(path: &Path, probe: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // Systems reuse the inode number of a removed file, but not while the file is open.
    let _pinned = pin(path);
    let before = fs::symlink_metadata(path)?;
    if !before.file_type().is_socket() {
        let what = "the path exists and is not a socket";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    match probe() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => {
            let what = "another server listens at the path";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
        }
    }
    let now = fs::symlink_metadata(path)?;
    if identity(&now) != identity(&before) {
        let what = "another server has just bound the path";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    fs::remove_file(path)
}

fn lock_directory_of(addr: &Addr) -> Option<impl Sized> {
    let Addr::Unix(path) = addr else { return None };
    lock_directory(&std::path::absolute(path).ok()?)
}

/// Locks the directory of `path` (flock(2)) until the result is dropped, or the process ends in
/// whatever way. A lock file would have to be left behind. `None` when another process has the lock
/// for longer than [`LOCK_PATIENCE`], or the directory cannot be locked; then there is no protection
/// from another server that starts or ends at the same moment.
#[cfg(feature = "sys")]
fn lock_directory(path: &Path) -> Option<nix::fcntl::Flock<fs::File>> {
    use nix::errno::Errno;
    use nix::fcntl::{Flock, FlockArg};

    let mut directory = fs::File::open(path.parent()?).ok()?;
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < end => {
                directory = back;
                thread::sleep(LOCK_RETRY);
            }
            Err(_) => return None,
        }
    }
}

/// How long to wait for servers that start or end in the same directory; each takes microseconds.
#[cfg(feature = "sys")]
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait between two tries.
#[cfg(feature = "sys")]
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// Without `nix` there is no flock(2).
#[cfg(not(feature = "sys"))]
fn lock_directory(_: &Path) -> Option<()> {
    None
}

/// Distinguishes a file from its successor at the same path.
fn identity(file: &fs::Metadata) -> (u64, u64, i64, i64) {
    (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())
}

/// Opens the file at this path without opening the socket.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn pin(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Other systems cannot open a socket file; the time of its last change has to do.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn pin(_: &Path) -> io::Result<fs::File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Connects to the socket, without blocking, so that a live server with a full backlog cannot block
/// us. A live socket of another type returns another error than a dead one.
fn probe(name: &SockAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Another server reclaims the path between our check and our removal.
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
