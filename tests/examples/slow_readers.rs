//! Who reads slowly and steadily is served to the end by the examples, whose own timers see it.
//!
//! A reader that is slow has to wait between its reads. A machine that is too busy for that makes it
//! slower than it wants to be; then it tries again with longer times, so no time is a condition here.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::Server;
use crate::program::{self, Program};
use crate::waits::{PATIENCE, pace};
use socket2::{Domain, Socket, Type};

/// More than the system takes at once, and more than a slow reader reads in [`SLOW`].
const LEN: usize = 6 << 20;

/// What the system takes at once, and a slow reader does not read in [`SLOW`].
const TAKEN_AT_ONCE: usize = 2 << 20;

/// The examples here give up on who is silent for so many seconds, at first. A machine that is too busy for that
/// gets twice as long, each time.
const SECONDS: u32 = 2;
const TRIES: u32 = 5;

/// So many timeouts it is read slowly: several, or two in a row. In that time the system reports room once or twice.
const SLOW: u32 = 5;

/// The reads in a timeout.
const READS: u32 = 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|nth| (nth % 251) as u8).collect()
}

/// A client that has little room, so that what it does not read stays with the server.
fn client(addr: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket.connect(&addr.parse::<SocketAddr>().unwrap().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads slowly for a while, and then all the rest. `None` when it was cut off, and had been slower
/// than it wanted to be.
fn read_slowly(mut stream: TcpStream, timeout: Duration) -> Option<Vec<u8>> {
    let (began, mut all) = (Instant::now(), Vec::new());
    let mut longest = Duration::ZERO;
    let mut buffer = vec![0; 16 << 10];
    while began.elapsed() < SLOW * timeout {
        let before = Instant::now();
        pace(timeout / READS);
        match stream.read(&mut buffer) {
            Ok(0) => panic!("ended after {} bytes and {:?}", all.len(), began.elapsed()),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                let late = longest > timeout / 8;
                assert!(late, "cut off after {} bytes and {:?}", all.len(), began.elapsed());
                return None;
            }
        }
        longest = longest.max(before.elapsed());
    }
    stream.read_to_end(&mut all).unwrap();
    Some(all)
}

/// Tries with longer and longer timeouts, until the machine lets it be as slow as it wants to be, and not slower.
fn until_it_was_on_time(try_once: impl Fn(&str, Duration) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let seconds = (0..TRIES).map(|nth| SECONDS << nth);
    let all = seconds
        .into_iter()
        .find_map(|seconds| try_once(&seconds.to_string(), Duration::from_secs(seconds.into())));
    if all.is_none() {
        println!("skipped: this machine is too busy");
    }
    all
}

#[test]
fn a_slow_download_is_served_to_its_end() {
    let dir = tempfile::TempDir::new().unwrap();
    fs::write(dir.path().join("large"), pattern(LEN)).unwrap();
    let files = dir.path().to_str().unwrap();
    let all = until_it_was_on_time(|seconds, timeout| {
        let server = Program::start("http", &["--files", files, "--idle-timeout", seconds]);
        let mut stream = client(&server.addr);
        let request = b"GET /files/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let all = read_slowly(stream, timeout);
        server.stop();
        all
    });
    assert!(all.is_none_or(|all| all.ends_with(&pattern(LEN))));
}

/// Its answers to pings lie behind all that it has not read.
#[test]
fn who_reads_large_messages_slowly_is_not_taken_for_dead() {
    let message = 1 << 20;
    let all = until_it_was_on_time(|seconds, timeout| {
        let server = Program::start("websocket", &["--ping-every", seconds]);
        let mut stream = client(&server.addr);
        let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        thread::spawn(move || {
            // A mask of zeros leaves everything as it is.
            let head = [&[0x82, 0xFF], &(message as u64).to_be_bytes()[..], &[0; 4]].concat();
            for _ in 0..5 {
                // It fails when the server has given up.
                let _ = writer.write_all(&[&head, &pattern(message)[..]].concat());
            }
            let _ = writer.write_all(&[0x88, 0x80, 0, 0, 0, 0]);
        });
        read_slowly(stream, timeout)
    });
    let Some(all) = all else { return };
    let head = [&[0x82, 127], &(message as u64).to_be_bytes()[..]].concat();
    let frame = [head, pattern(message)].concat();
    let frames = all.windows(10).filter(|window| *window == &frame[..10]).count();
    assert_eq!(frames, 5);
    // Between two of them may lie a ping, and behind the last the goodbye.
    assert!((5 * frame.len()..5 * frame.len() + 1_000).contains(&all.len()), "{}", all.len());
}

/// Neither the client, who is slow, nor the other side, which waits for the client, is idle.
#[test]
fn a_slow_client_of_a_proxy_gets_everything() {
    let all = until_it_was_on_time(|seconds, timeout| {
        let mut command = program::command("socks5");
        command.args(["--allow-private", "--idle-timeout", seconds, "127.0.0.1:0"]);
        let mut proxy = Server::of(command.stderr(Stdio::null()));
        let addr = proxy.tcp_addr();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            // It fails when the proxy has given up.
            let _ = stream.write_all(&pattern(TAKEN_AT_ONCE));
        });
        let mut stream = client(&addr);
        let request = [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1], &port.to_be_bytes()[..]].concat();
        stream.write_all(&request).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..4], [5, 0, 5, 0]);
        read_slowly(stream, timeout)
    });
    assert!(all.is_none_or(|all| all == pattern(TAKEN_AT_ONCE)));
}
