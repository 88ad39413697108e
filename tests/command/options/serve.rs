//! The options of `serve`.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Server, bin, exchange, tcp, unix};
use crate::read_some::ReadSome;
use crate::waits::PATIENCE;

trials! {
    service: "serve SERVICE", service;
    tcp: "serve --tcp", over_tcp;
    udp: "serve --udp", over_udp;
    unix: "serve --unix", over_unix;
    unixgram: "serve --unixgram", over_unixgram;
    max_connections: "serve --max-connections", max_connections;
    idle_timeout: "serve --idle-timeout", idle_timeout;
    high_water: "serve --high-water", high_water;
    max_line: "serve --max-line", max_line;
    grace: "serve --grace", grace;
    busy_poll: "serve --busy-poll", busy_poll;
    loops: "serve --loops", loops;
    balance: "serve --balance", balance;
    counters: "serve --counters", counters;
    heed_ignored_signals: "serve --heed-ignored-signals", heed_ignored_signals;
    workers: "serve --workers", workers;
}

/// A server on TCP with these words, and its address.
fn start(words: &[&str]) -> (Server, String) {
    let mut server = Server::start(&[words, &["--tcp", "127.0.0.1:0"]].concat());
    let addr = server.tcp_addr();
    (server, addr)
}

fn service() {
    for (service, answer) in [("echo", b"hello"), ("upper", b"HELLO")] {
        let (server, addr) = start(&[service]);
        assert_eq!(exchange(&mut tcp(&addr), b"hello"), answer);
        server.stop();
    }
}

fn over_tcp() {
    // Both, when it is given twice.
    let (mut server, first) = start(&["echo", "--tcp", "[::1]:0"]);
    for addr in [first, server.tcp_addr()] {
        assert_eq!(exchange(&mut tcp(&addr), b"hello"), b"hello");
    }
    server.stop();
}

fn over_udp() {
    let mut server = Server::start(&["echo", "--udp", "127.0.0.1:0"]);
    let addr = server.line().strip_prefix("listening udp ").unwrap().to_string();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"hello", addr).unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
    server.stop();
}

fn over_unix() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut server = Server::start(&["echo", "--unix", path.to_str().unwrap()]);
    server.line();
    assert_eq!(exchange(&mut unix(&path), b"hello"), b"hello");
    server.stop();
}

fn over_unixgram() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut server = Server::start(&["echo", "--unixgram", path.to_str().unwrap()]);
    server.line();
    let client = UnixDatagram::bind(dir.path().join("client")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"hello", &path).unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
    server.stop();
}

/// One client is served at a time, and the next when the first has gone.
fn one_after_the_other(words: &[&str]) {
    let (server, addr) = start(words);
    let mut first = tcp(&addr);
    exchange(&mut first, b"first");
    let mut second = tcp(&addr);
    second.write_all(b"second").unwrap();
    for _ in 0..20 {
        // The loop has turned since the second came.
        exchange(&mut first, b"again");
    }
    second.set_nonblocking(true).unwrap();
    let early = second.read(&mut [0; 8]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock), "{words:?}");
    second.set_nonblocking(false).unwrap();
    drop(first);
    let mut answer = [0; 6];
    second.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"second");
    drop(second);
    server.stop();
}

fn max_connections() {
    one_after_the_other(&["echo", "--max-connections", "1"]);
}

fn idle_timeout() {
    let (server, addr) = start(&["echo", "--idle-timeout", "100ms"]);
    assert_eq!(tcp(&addr).read_some(&mut [0; 1]).unwrap(), 0);
    server.stop();
}

/// So much is read from one who does not read: more than the default, and more than the kernel
/// holds for a Unix socket.
fn high_water() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let words = ["echo", "--unix", path.to_str().unwrap(), "--high-water", "8MiB"];
    let mut server = Server::start(&words);
    server.line();
    let mut client = unix(&path);
    client.write_all(&vec![7; 6 << 20]).unwrap();
    let mut answer = vec![0; 6 << 20];
    client.read_exact(&mut answer).unwrap();
    assert!(answer.iter().all(|byte| *byte == 7));
    drop(client);
    server.stop();
}

/// One longer than the library takes where nobody says anything, and one too long.
fn max_line() {
    const LEN: usize = 2 << 20;
    let (server, addr) = start(&["chat", "--max-line", "3MiB"]);
    let (mut one, mut two) = (tcp(&addr), tcp(&addr));
    // The other is in the room when it hears the first.
    let end = Instant::now() + PATIENCE;
    two.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while two.read(&mut [0; 1]).is_err() {
        assert!(Instant::now() < end, "it is not heard");
        one.write_all(b"\n").unwrap();
    }
    two.set_read_timeout(Some(PATIENCE)).unwrap();
    let line = [vec![b'x'; LEN], b".\n".to_vec()].concat();
    let writer = thread::spawn(move || one.write_all(&line).map(|()| one));
    let (mut heard, mut piece) = (0, vec![0; 1 << 16]);
    while !piece.contains(&b'.') {
        let n = two.read_some(&mut piece).unwrap();
        assert!(n > 0, "{heard} bytes came, and then the end");
        heard += n;
    }
    assert!(heard > LEN);
    drop((writer.join().unwrap(), two));
    server.stop();
    closes_at_a_long_line();
}

fn closes_at_a_long_line() {
    let (server, addr) = start(&["chat", "--max-line", "1KiB"]);
    let mut client = tcp(&addr);
    client.write_all(&[b'x'; 1_100]).unwrap();
    client.write_all(b"\n").unwrap();
    let end = client.read(&mut [0; 1]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    server.stop();
}

fn grace() {
    let mut command = bin();
    command.args(["serve", "chargen", "--tcp", "127.0.0.1:0", "--grace", "123ms"]);
    let mut server = Server::of(command.env("RUST_LOG", "info").stderr(Stdio::piped()));
    let mut client = tcp(&server.tcp_addr());
    client.read_exact(&mut [0; 74]).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("after 123ms is cut off"), "{log}");
}

/// A loop that looks for events without sleeping takes time.
fn busy_poll() {
    let (server, addr) = start(&["echo", "--busy-poll", "1h"]);
    let mut client = tcp(&addr);
    exchange(&mut client, b"wake up");
    let (before, end) = (server.cpu(), Instant::now() + PATIENCE);
    while server.cpu() < before + Duration::from_millis(200) {
        assert!(Instant::now() < end, "it sleeps");
        thread::yield_now();
    }
    server.stop();
}

fn threads(server: &Server) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(|task| name(task.unwrap())).map(|name| name.trim().to_string()).collect()
}

fn loops() {
    let (server, addr) = start(&["echo", "--loops", "3"]);
    exchange(&mut tcp(&addr), b"hello");
    let threads = threads(&server);
    for nth in 0..3 {
        assert!(threads.contains(&format!("socketserver-{nth}")), "{threads:?}");
    }
    server.stop();
}

/// How many sockets listen at this port.
fn listeners(addr: &str) -> usize {
    let port: u16 = addr.rsplit(':').next().unwrap().parse().unwrap();
    let known = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_there = |line: &&str| line.contains(&format!(":{port:04X} 00000000:0000 0A"));
    known.lines().filter(is_there).count()
}

fn balance() {
    for (way, n) in [("reuseport", 3), ("least-connections", 1)] {
        let (server, addr) = start(&["echo", "--loops", "3", "--balance", way]);
        exchange(&mut tcp(&addr), b"hello");
        assert_eq!(listeners(&addr), n, "{way}");
        server.stop();
    }
}

fn counters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("counters");
    let words = ["echo", "--loops", "2", "--counters", path.to_str().unwrap()];
    let (server, addr) = start(&words);
    exchange(&mut tcp(&addr), b"hello");
    server.stop();
    let text = fs::read_to_string(path).unwrap();
    let clients = text.lines().map(|line| line.split(' ').next().unwrap().parse::<u32>().unwrap());
    assert_eq!((text.lines().count(), clients.sum::<u32>()), (2, 1), "{text}");
}

fn heed_ignored_signals() {
    let words = ["echo", "--tcp", "127.0.0.1:0", "--heed-ignored-signals"];
    let mut server = Server::start_in_shell("trap '' TERM INT HUP", &words);
    server.tcp_addr();
    server.stop();
}

fn workers() {
    one_after_the_other(&["echo", "--workers", "threads:1"]);
    let (server, addr) = start(&["echo", "--workers", "processes:2"]);
    let mut client = tcp(&addr);
    exchange(&mut client, b"hello");
    let pid = server.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "{children}");
    drop(client);
    server.stop();
}
