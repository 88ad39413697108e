//! Servers that are stopped for longer than their deadlines (SIGSTOP, as a debugger or a frozen container does)
//! while a client answers in time: what it sent is looked at before the deadline.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program::Program;
use crate::waits::{PATIENCE, delay, until};

/// The deadline, in the words of the programs and as a time.
const SECONDS: &str = "0.2";
const DEADLINE: Duration = Duration::from_millis(200);

fn signal(server: &Program, name: &str) {
    let status = Command::new("kill").args([name, &server.pid().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Stops it, lets the client act, and lets it go on when the deadline that began at `since` has certainly come.
/// `false` when the stop came too late for a test.
fn stop_beyond_the_deadline(server: &Program, since: Instant, act: impl FnOnce()) -> bool {
    signal(server, "-STOP");
    let stat = format!("/proc/{}/stat", server.pid());
    until("the stop", || fs::read_to_string(&stat).unwrap().contains(") T "));
    let in_time = since.elapsed() < DEADLINE / 2;
    act();
    // Everything that the deadline can have begun with is before now.
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        delay(DEADLINE);
    }
    signal(server, "-CONT");
    in_time
}

/// Tries until a stop came in time.
fn attempt(mut once: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !once() {
        assert!(Instant::now() < end, "this machine is too slow for this test");
    }
}

/// The next bytes; nothing at the end.
fn some(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = [0; 4 << 10];
    match stream.read(&mut bytes) {
        Ok(n) => bytes[..n].to_vec(),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_request_whose_rest_came_while_http_was_stopped_is_answered() {
    let server = Program::start("http", &["--head-timeout", SECONDS]);
    attempt(|| {
        let mut stream = server.client();
        let since = Instant::now();
        // One is answered, so the half behind it was read.
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHo").unwrap();
        let first = some(&mut stream);
        assert!(first.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first));
        let rest = || stream.write_all(b"st: a\r\nConnection: close\r\n\r\n").unwrap();
        if !stop_beyond_the_deadline(&server, since, rest) {
            return false;
        }
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let all = String::from_utf8_lossy(&all);
        assert!(all.contains("HTTP/1.1 200") && !all.contains("HTTP/1.1 408"), "{all}");
        true
    });
    server.stop();
}

#[test]
fn a_client_that_answered_its_ping_while_websocket_was_stopped_stays() {
    let server = Program::start("websocket", &["--ping-every", SECONDS]);
    attempt(|| {
        let mut stream = server.client();
        let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        assert!(some(&mut stream).starts_with(b"HTTP/1.1 101"));
        assert_eq!(some(&mut stream).first(), Some(&0x89), "a ping");
        let since = Instant::now();
        let pong = || stream.write_all(&[0x8A, 0x80, 1, 2, 3, 4]).unwrap();
        if !stop_beyond_the_deadline(&server, since, pong) {
            return false;
        }
        assert_eq!(some(&mut stream).first(), Some(&0x89), "the next ping");
        true
    });
    server.stop();
}
