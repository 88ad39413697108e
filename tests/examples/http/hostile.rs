//! What one client, or the owner of a file, may cost the others.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::files::get;
use super::{site, with_files};
use crate::command::has;
use crate::program::{Program, path};
use crate::waits::until;

/// Locks a file as its owner may (`F_SETLEASE`, fcntl(2)) and ignores that another wants to open it.
/// The system breaks the lease after 45 s.
const LEASE: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
sys.stdin.read()
";

#[test]
#[cfg(target_os = "linux")]
fn a_file_with_a_lease_is_503_at_once_and_stops_nobody() {
    if !has("python3") {
        return;
    }
    let dir = site();
    let server = with_files(&dir);
    let mut owner = Command::new("python3")
        .args(["-c", LEASE])
        .arg(dir.path().join("public/hello.txt"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "leased\n", "is this a file system without leases?");
    assert_eq!(get(&server, "/files/hello.txt", "").status, 503);
    assert_eq!(get(&server, "/files/index.html", "").status, 200);
    drop(owner.stdin.take());
    owner.wait().unwrap();
    assert_eq!(get(&server, "/files/hello.txt", "").body, b"0123456789");
    server.stop();
}

/// A name that is a file, a FIFO and a link to a secret in turns, as fast as its owner can.
#[test]
fn what_takes_the_place_of_a_file_neither_stops_the_server_nor_leads_out_of_the_folder() {
    let dir = site();
    let server = with_files(&dir);
    let (spare, name) = (dir.path().join("spare"), dir.path().join("public/name"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for nth in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                match nth % 3 {
                    0 => fs::write(&spare, "0123456789").unwrap(),
                    1 => mkfifo(&spare, Mode::from_bits_truncate(0o600)).unwrap(),
                    _ => symlink("../secret.txt", &spare).unwrap(),
                }
                fs::rename(&spare, &name).unwrap();
            }
        });
        let mut files = 0;
        for _ in 0..3_000 {
            let answer = get(&server, "/files/name", "");
            match answer.status {
                200 => assert_eq!(answer.body, b"0123456789"),
                status => assert!([404, 503].contains(&status), "{status}"),
            }
            files += usize::from(answer.status == 200);
        }
        over.store(true, Ordering::Relaxed);
        assert!(files > 0, "it was never a file");
    });
    server.stop();
}

#[test]
fn events_that_nobody_reads_end_and_go_on_where_they_ended() {
    let server = Program::start("http", &["--events-time", "1"]);
    let mut stream = server.client();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 41\r\n\r\n").unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.contains("\r\nid: 42\ndata: ") && all.ends_with("\r\n0\r\n\r\n"), "{all}");
    server.stop();
}

#[test]
fn one_client_more_than_there_are_descriptors_for_gets_503() {
    let script = "ulimit -n 128; exec \"$0\" 127.0.0.1:0";
    let server = Program::run(Command::new("sh").args(["-c", script]).arg(path("http")));
    let mut clients = Vec::new();
    // A refused client is told so without a request.
    let refused = loop {
        let mut stream = server.client();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut said = String::new();
        if stream.read_to_string(&mut said).is_ok() {
            break said;
        }
        clients.push(stream);
        assert!(clients.len() < 128);
    };
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(clients.len() > 16, "{}", clients.len());
    for _ in 0..200 {
        let mut said = String::new();
        server.client().read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    }
    drop(clients);
    until("there is a place again", || get(&server, "/", "").status == 200);
    server.stop();
}
