//! Times: those that HTTP has no word for, and those that are over.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::files::get;
use super::site;
use super::table::read;
use crate::program::{Program, has, path, run};
use crate::read_some::ReadSome;
use crate::waits::until;

/// File systems that keep such times are not everywhere; memory is one.
fn roomy() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

#[test]
fn dates_that_http_cannot_say_are_not_said() {
    let dir = roomy();
    let server = Program::start("http", &["--files", dir.path().to_str().unwrap()]);
    let year = Duration::from_secs(31_556_952);
    let epoch = SystemTime::UNIX_EPOCH;
    for (name, time) in [
        ("later", epoch + 8_500 * year),
        ("9999", epoch + 8_028 * year),
        ("2400", epoch + 430 * year),
        ("before", epoch - year),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, "0123456789").unwrap();
        let set = File::options().write(true).open(&path).unwrap().set_modified(time);
        let is_kept = set.is_ok() && fs::metadata(&path).unwrap().modified().unwrap() == time;
        if !is_kept {
            println!("skipped: the file system here does not keep the time of {name}");
            continue;
        }
        let answer = get(&server, &format!("/files/{name}"), "");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"0123456789"[..]), "{name}");
        let told =
            answer.field("Last-Modified").map(|date| httpdate::parse_http_date(date).unwrap());
        match told {
            None => assert!(time < epoch, "{name}"),
            Some(told) => assert!(told <= SystemTime::now(), "{name} was changed at {told:?}"),
        }
        let etag = answer.field("ETag").unwrap();
        let known = get(&server, &format!("/files/{name}"), &format!("If-None-Match: {etag}\r\n"));
        assert_eq!(known.status, 304, "{name}: {etag}");
        let since = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        assert_eq!(get(&server, &format!("/files/{name}"), since).status, 200, "{name}");
    }
    server.stop();
}

#[test]
fn a_clock_that_http_has_no_word_for_says_no_date() {
    if !has("faketime", &["--version"]) {
        return;
    }
    // It would stand between us and the server, so it only says what the server is to be started with.
    let mut command = Command::new("faketime");
    let said =
        run(command.args(["1960-01-01 00:00:00", "printenv", "LD_PRELOAD", "FAKETIME"])).stdout;
    let said = String::from_utf8(said).unwrap();
    let (library, time) = said.trim_end().split_once('\n').unwrap();
    let dir = site();
    let mut command = Command::new(path("http"));
    command.env("LD_PRELOAD", library).env("FAKETIME", time).arg("127.0.0.1:0").arg("--files");
    // What its waits are measured by goes on as it does.
    command.arg(dir.path().join("public")).env("DONT_FAKE_MONOTONIC", "1");
    let server = Program::run(&mut command);
    for (path, status) in [("/", 200), ("/files/hello.txt", 200), ("/no", 404)] {
        let answer = get(&server, path, "");
        assert_eq!((answer.status, answer.field("Date")), (status, None), "{path}");
        assert_eq!(answer.field("Last-Modified"), None, "{path}");
    }
    let mut events = server.client();
    events.write_all(b"GET /events HTTP/1.0\r\n\r\n").unwrap();
    let mut first =
        BufReader::new(events).lines().skip_while(|line| line.as_ref().unwrap() != "id: 1");
    assert_eq!(first.nth(1).unwrap().unwrap(), "data: the clock is wrong");
    server.stop();
}

#[test]
fn half_a_head_and_half_a_body_are_408_when_the_idle_time_is_over() {
    let words = ["--head-timeout", "3600", "--idle-timeout", "0.3"];
    let server = Program::start("http", &words);
    for half in [
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let mut stream = BufReader::new(server.client());
        stream.get_mut().write_all(half.as_bytes()).unwrap();
        let answer = read(&mut stream, false).unwrap();
        assert_eq!((answer.status, answer.field("Connection")), (408, Some("close")), "{half}");
    }
    // Who asked nothing is answered nothing, also behind an answer.
    let mut stream = server.client();
    assert_eq!(stream.read_some(&mut [0]).unwrap(), 0);
    let mut stream = BufReader::new(server.client());
    stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream, false).unwrap().status, 200);
    assert!(read(&mut stream, false).is_none());
    server.stop();
}

/// What has come of an answer, and whether the connection has ended.
fn seen(stream: &mut TcpStream) -> (String, bool) {
    stream.set_nonblocking(true).unwrap();
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all).is_ok();
    (String::from_utf8_lossy(&all).into_owned(), ended)
}

#[test]
fn the_idle_time_counts_from_the_last_that_happened() {
    let server = Program::start("http", &["--idle-timeout", "3"]);
    let mut answered = server.client();
    answered.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = [0; 1 << 10];
    assert!(answered.read_some(&mut answer).unwrap() > 0);
    // It is read in the turn in which the next one is answered at the latest.
    let mut half = server.client();
    half.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab").unwrap();
    get(&server, "/", "");
    // One that came later and says nothing has its time over later than they.
    let mut silent = server.client();
    assert_eq!(silent.read_some(&mut [0]).unwrap(), 0);
    get(&server, "/", "");
    assert_eq!(seen(&mut answered), (String::new(), true), "behind an answer");
    let (answer, ended) = seen(&mut half);
    assert!(answer.starts_with("HTTP/1.1 408 ") && ended, "half a body: {ended} {answer}");
    server.stop();
}

#[test]
fn events_go_on_after_a_half_close_and_end_as_an_answer_in_chunks_does() {
    let server = Program::start("http", &[]);
    let mut stream = server.client();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while line != "id: 3\n" {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    server.stop();
    let mut rest = Vec::new();
    lines.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "{:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn a_client_that_has_left_gets_no_more_events() {
    let server = Program::start("http", &[]);
    let open = || fs::read_dir(format!("/proc/{}/fd", server.pid())).map(Iterator::count).ok();
    let Some(before) = open() else {
        println!("skipped: the system does not show the descriptors of a process");
        return;
    };
    let mut stream = server.client();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(stream.read_some(&mut [0; 1 << 10]).unwrap() > 0);
    assert!(open() > Some(before));
    drop(stream);
    until("the end of its descriptor", || open() == Some(before));
    server.stop();
}

#[test]
fn a_request_that_has_begun_is_answered_although_the_server_stops() {
    let server = Program::start("http", &[]);
    let mut idle = server.client();
    let mut halves: Vec<(TcpStream, &str)> = [
        ("GET / HTTP/1.1\r\nHo", "st: a\r\n\r\n"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo", "dy"),
    ]
    .into_iter()
    .map(|(first, second)| {
        let mut stream = server.client();
        stream.write_all(first.as_bytes()).unwrap();
        (stream, second)
    })
    .collect();
    // It has read them by the turn in which this is answered.
    get(&server, "/", "");
    server.terminate();
    assert_eq!(idle.read_some(&mut [0]).unwrap(), 0);
    for (stream, second) in &mut halves {
        stream.write_all(second.as_bytes()).unwrap();
        let answer = read(&mut BufReader::new(stream), false).unwrap();
        assert_eq!((answer.status, answer.field("Connection")), (200, Some("close")), "{second}");
    }
    server.end();
}
