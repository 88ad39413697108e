//! Bodies that go back: whole, in bounded memory, to whoever reads only when all is sent.

use std::io::{BufReader, Write};

use super::pattern;
use super::table::{Answer, read};
use crate::program::Program;
use crate::waits::until;

fn post(server: &Program, body: &[u8]) -> Answer {
    let mut stream = BufReader::new(server.client());
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    // Not a byte is read before all is sent.
    stream.get_mut().write_all(body).unwrap();
    read(&mut stream, false).unwrap()
}

#[test]
fn who_sends_everything_before_it_reads_gets_everything_back() {
    let server = Program::start("http", &[]);
    for len in [0, 1, 65_536, 65_537, 3_000_000, 50_000_000] {
        let sent = pattern(len);
        let answer = post(&server, &sent);
        assert!(answer.status == 200 && answer.body == sent, "{len} bytes");
    }
    if let Some(peak) = server.peak_memory() {
        assert!(peak < 16 << 10, "{peak} KiB");
    }
    server.stop();
}

#[test]
fn a_body_in_chunks_is_kept_as_one_with_a_length() {
    let server = Program::start("http", &[]);
    let mut stream = BufReader::new(server.client());
    let sent = pattern(1_000_000);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.get_mut().write_all(head).unwrap();
    for chunk in sent.chunks(77_777) {
        let line = format!("{:x};name=\"value\"\r\n", chunk.len());
        stream.get_mut().write_all(&[line.as_bytes(), chunk, b"\r\n"].concat()).unwrap();
    }
    stream.get_mut().write_all(b"0\r\nTrailer: x\r\n\r\n").unwrap();
    let answer = read(&mut stream, false).unwrap();
    assert!(answer.status == 200 && answer.body == sent, "{} bytes", answer.body.len());
    // HTTP/1.0 may stay too, since the length is known.
    let old = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc";
    for _ in 0..2 {
        stream.get_mut().write_all(old).unwrap();
        let answer = read(&mut stream, false).unwrap();
        assert_eq!(
            (answer.field("Connection"), &answer.body[..]),
            (Some("keep-alive"), &b"abc"[..])
        );
    }
    server.stop();
}

#[test]
fn all_bodies_share_the_disk_and_give_it_back() {
    let server = Program::start("http", &["--disk-limit", "1000000"]);
    assert_eq!(post(&server, &pattern(1_000_001)).status, 503);
    for _ in 0..3 {
        assert_eq!(post(&server, &pattern(1_000_000)).status, 200, "what was sent takes nothing");
    }
    // What is on its way takes its part, until it is answered or gone.
    let half = || {
        let mut stream = BufReader::new(server.client());
        let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 600001\r\n\r\n";
        stream.get_mut().write_all(&[head, &pattern(600_000)[..]].concat()).unwrap();
        until("a refusal", || post(&server, &pattern(500_000)).status == 503);
        stream
    };
    let mut whole = half();
    whole.get_mut().write_all(b"x").unwrap();
    assert_eq!(read(&mut whole, false).unwrap().body.len(), 600_001);
    let cut = half();
    assert_eq!(post(&server, &pattern(65_536)).status, 200, "so little needs no disk");
    drop(cut);
    until("room", || post(&server, &pattern(1_000_000)).status == 200);
    server.stop();
}
