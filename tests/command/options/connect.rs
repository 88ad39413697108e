//! The options of `connect`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::command::{self, bin};
use crate::waits::PATIENCE;

trials! {
    addr: "connect ADDR", addr;
    port: "connect PORT", port;
    tcp: "connect --tcp", over_tcp;
    udp: "connect --udp", over_udp;
    unix: "connect --unix", over_unix;
    unixgram: "connect --unixgram", over_unixgram;
    timeout: "connect --timeout", timeout;
    wait: "connect --wait", wait;
    no_half_close: "connect --no-half-close", no_half_close;
    no_stdin: "connect --no-stdin", no_stdin;
}

/// Runs with this input; gives the exit code and what it wrote.
fn connect(words: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = bin();
    command.arg("connect").args(words).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output.stdout, err)
}

/// Echoes to one client until it ends; then has heard this.
fn echo(mut stream: impl Read + Write) -> Vec<u8> {
    let heard = command::read_to_end(&mut stream);
    stream.write_all(&heard).unwrap();
    heard
}

fn reaches_tcp(words: impl Fn(SocketAddr) -> Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = words(listener.local_addr().unwrap());
    let serving = thread::spawn(move || echo(listener.accept().unwrap().0));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(connect(&words, b"hello"), (Some(0), b"hello".to_vec(), String::new()));
    assert_eq!(serving.join().unwrap(), b"hello");
}

fn addr() {
    reaches_tcp(|addr| vec![addr.to_string()]);
}

fn port() {
    reaches_tcp(|addr| vec![addr.ip().to_string(), addr.port().to_string()]);
}

fn over_tcp() {
    reaches_tcp(|addr| vec!["--tcp".into(), addr.to_string()]);
}

fn over_udp() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let (n, peer) = server.recv_from(&mut [0; 16]).unwrap();
        server.send_to(b"answer", peer).unwrap();
        n
    });
    let ended = connect(&["--udp", &addr, "--wait", "100ms"], b"hello\n");
    assert_eq!((ended.0, serving.join().unwrap()), (Some(0), 6), "{}", ended.2);
}

fn over_unix() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = thread::spawn(move || echo(listener.accept().unwrap().0));
    assert_eq!(connect(&["--unix", path.to_str().unwrap()], b"hello").1, b"hello");
    serving.join().unwrap();
}

fn over_unixgram() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let ended = connect(&["--unixgram", path.to_str().unwrap(), "--wait", "0s"], b"hello\n");
    assert_eq!((ended.0, server.recv(&mut [0; 16]).unwrap()), (Some(0), 6), "{}", ended.2);
}

/// A server with a full backlog takes 30 seconds by default, and then says so.
fn timeout() {
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let there = full.local_addr().unwrap();
    let client = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&there);
        socket
    };
    let clients: Vec<Socket> = (0..4).map(client).collect();
    let addr = there.as_socket().unwrap().to_string();
    let (code, _, err) = connect(&[&addr, "--timeout", "100ms"], b"");
    assert!(code == Some(1) && err.contains("timed out"), "{err}");
    drop(clients);
    // And the same where it is connected: see `command_nc`.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = deaf.local_addr().unwrap().to_string();
    let (code, _, err) = connect(&[&addr, "--timeout", "100ms"], &vec![7; 32 << 20]);
    assert!(code == Some(1) && err.contains("took nothing"), "{err}");
}

fn wait() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let (code, _, err) = connect(&["--udp", &addr, "--wait", "12ms"], b"hello\n");
    assert!(code == Some(1) && err.contains("within 12ms"), "{err}");
}

/// Sends its last word when it saw no end for a while.
fn leaver() -> (String, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let serve = |mut stream: TcpStream| {
        let mut heard = Vec::new();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        if let Err(error) = stream.read_to_end(&mut heard) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            stream.write_all(b"last word").unwrap();
        }
        heard
    };
    (addr, thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn no_half_close() {
    let (addr, serving) = leaver();
    assert_eq!(connect(&["--no-half-close", &addr], b"hello").1, b"last word");
    assert_eq!(serving.join().unwrap(), b"hello");
}

fn no_stdin() {
    let (addr, serving) = leaver();
    assert_eq!(connect(&["-d", &addr], b"hello").1, b"last word");
    assert_eq!(serving.join().unwrap(), b"");
}
