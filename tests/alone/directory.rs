//! Paths of Unix sockets that are relative to a working directory which changes.

use std::env;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use socketserver::{Addr, Echo, Server};

use crate::alone;
use crate::support::Harness;

#[test]
fn a_relative_path_is_removed_although_the_program_changed_its_directory() {
    let _alone = alone();
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    env::set_current_dir(dir.path()).unwrap();
    let mut server: Server = Server::new().unwrap();
    server.listen(Path::new("stream"), |_: &Addr| socketserver::Echo).unwrap();
    server.bind(Path::new("datagram"), socketserver::Echo).unwrap();
    // What has the same name there is somebody else's.
    env::set_current_dir(elsewhere.path()).unwrap();
    let other = UnixDatagram::bind("stream").unwrap();
    drop(server);
    let left = |dir: &Path| dir.read_dir().unwrap().count();
    assert_eq!((left(dir.path()), left(elsewhere.path())), (0, 1));
    drop(other);
    // So deep that no name of a socket holds the whole path.
    let deep = dir.path().join("d".repeat(100));
    std::fs::create_dir(&deep).unwrap();
    env::set_current_dir(&deep).unwrap();
    drop(UnixListener::bind("stream").unwrap());
    server = Server::new().unwrap();
    server.listen(Path::new("stream"), |_: &Addr| socketserver::Echo).unwrap();
    server.bind(Path::new("datagram"), socketserver::Echo).unwrap();
    UnixStream::connect("stream").unwrap();
    env::set_current_dir(elsewhere.path()).unwrap();
    drop(server);
    assert_eq!(left(&deep), 0);
    env::set_current_dir("/").unwrap();
}

/// The client binds `socket` in its own working directory, and in that of the server the same name
/// is the server's.
#[test]
fn a_client_whose_path_means_the_server_to_the_server_starts_no_loop() {
    let _alone = alone();
    let directories = [tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap()];
    std::env::set_current_dir(&directories[0]).unwrap();
    let client = UnixDatagram::bind("socket").unwrap();
    std::env::set_current_dir(&directories[1]).unwrap();
    let mut harness = Harness::new();
    let id = harness.bind("unix:socket", Echo).unwrap();
    let addr = harness.io().local_addr(id).unwrap();
    client.send_to(b"round and round", addr.path().unwrap()).unwrap();
    for _ in 0..100 {
        harness.turn(Some(Duration::from_millis(1))).unwrap();
    }
    let answered = harness.io().stats().packets_sent;
    // To leave the directories, so that they can be removed.
    std::env::set_current_dir("/").unwrap();
    assert!(answered <= 1, "one datagram was answered {answered} times");
}
