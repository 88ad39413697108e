//! The example `http`, driven by clients we did not write, and by plain sockets that nobody would
//! call clients.

mod bodies;
mod clients;
mod files;
mod hostile;
mod table;
mod times;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::program::{Program, has, run};
use crate::waits::{PATIENCE, delay, pace};
use tempfile::TempDir;

/// Sends all of it and reads to the end, which the server must make.
fn ask(server: &Program, request: &[u8]) -> String {
    let mut stream = server.client();
    // It may answer and close before it has seen everything.
    let _ = stream.write_all(request);
    String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned()
}

/// A reset after the answer is an end like another.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => all,
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap_or_default().1
}

fn without_dates(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let lines = text.split_inclusive('\n').filter(|line| !line.starts_with("Date: "));
    lines.collect()
}

/// Bytes that repeat at no power of two.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|nth| (nth % 251) as u8).collect()
}

/// Wed, 01 Jan 2020 00:00:00 GMT.
const CHANGED: Duration = Duration::from_secs(1_577_836_800);

fn site() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("public")).unwrap();
    fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    let public = dir.path().join("public");
    fs::write(public.join("hello.txt"), "0123456789").unwrap();
    fs::write(public.join(".hidden"), "secret").unwrap();
    fs::write(public.join("empty"), "").unwrap();
    fs::write(public.join("index.html"), "<h1>index</h1>").unwrap();
    fs::write(public.join("a b.txt"), "with a space").unwrap();
    fs::write(public.join("large"), pattern(5_000_000)).unwrap();
    fs::create_dir(public.join("sub")).unwrap();
    fs::write(public.join("sub/index.html"), "<h1>sub</h1>").unwrap();
    // What was changed just now is treated otherwise.
    for name in ["hello.txt", "large", "empty"] {
        let file = File::options().write(true).open(public.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + CHANGED).unwrap();
    }
    symlink("../secret.txt", public.join("out")).unwrap();
    symlink("hello.txt", public.join("in")).unwrap();
    symlink("..", public.join("up")).unwrap();
    dir
}

fn with_files(dir: &TempDir) -> Program {
    Program::start("http", &["--files", dir.path().join("public").to_str().unwrap()])
}

// What a request may say.

#[test]
fn every_split_of_pipelined_requests_gives_the_same_answers() {
    let server = Program::start("http", &[]);
    let requests = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        HEAD / HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        4;x=y\r\nwxyz\r\n0\r\nTrailer: t\r\n\r\n\
        GET /nothing?here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let whole = without_dates(ask(&server, requests).as_bytes());
    let statuses: Vec<&str> = whole.split("HTTP/1.1 ").skip(1).map(|part| &part[..3]).collect();
    assert_eq!(statuses, ["200", "200", "200", "200", "404"], "{whole}");
    for at in 1..requests.len() {
        let mut stream = server.client();
        let (first, second) = requests.split_at(at);
        stream.write_all(first).unwrap();
        // So that each piece is read alone, most of the time.
        pace(Duration::from_micros(300));
        stream.write_all(second).unwrap();
        let answer = read_to_end(&mut stream);
        assert_eq!(without_dates(&answer), whole, "cut at {at}");
    }
    let mut stream = server.client();
    for byte in requests {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(without_dates(&read_to_end(&mut stream)), whole, "byte by byte");
    server.stop();
}

/// Each of them gets one answer with this status, and the connection is closed.
fn are_refused(requests: &[(String, &str)]) {
    let server = Program::start("http", &["--body-limit", "1000"]);
    for (request, expected) in requests {
        let answer = ask(&server, request.as_bytes());
        assert_eq!(status(&answer), *expected, "{request:.200}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer: {request:.200}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    server.stop();
}

#[test]
fn a_head_that_could_be_read_in_two_ways_is_refused() {
    let host = "Host: a\r\n";
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    are_refused(&[
        (format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"),
        (format!("{post}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), "400"),
        (format!("{post}Content-Length: 3, 3\r\n\r\nabc"), "400"),
        (format!("{post}Content-Length: +3\r\n\r\nabc"), "400"),
        (format!("{post}Content-Length: -3\r\n\r\nabc"), "400"),
        (format!("{post}Content-Length: 0x3\r\n\r\nabc"), "400"),
        (format!("{post}Content-Length:\r\n\r\nabc"), "400"),
        (format!("{post}Content-Length : 3\r\n\r\nabc"), "400"),
        (format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), "400"),
        (format!("{post}X: a\r\n folded\r\n\r\n"), "400"),
        (format!("{post}X: a\n\nGET / HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("{post}X: a\rb\r\n\r\n"), "400"),
        (format!("{post}X: a\0b\r\n\r\n"), "400"),
        (format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n"), "400"),
        (format!("{post}Transfer-Encoding: gzip\r\n\r\n"), "400"),
        (format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), "400"),
        ("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), "400"),
    ]);
}

#[test]
fn a_chunk_that_could_be_read_in_two_ways_is_refused() {
    let long = "x".repeat(9_000);
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    are_refused(&[
        (format!("{chunked}g\r\n"), "400"),
        (format!("{chunked}-1\r\n"), "400"),
        (format!("{chunked}\r\n"), "400"),
        (format!("{chunked}3\nabc\n0\n\n\r\n"), "400"),
        (format!("{chunked}3\n\r\nabc\r\n0\r\n\r\n"), "400"),
        (format!("{chunked}3;\nx\r\nabc\r\n0\r\n\r\n"), "400"),
        (format!("{chunked}3 \r\nabc\r\n0\r\n\r\n"), "400"),
        (format!("{chunked}0\r\nX: a\n\n\r\n\r\n"), "400"),
        (format!("{chunked}fffffffffffffffff\r\n"), "400"),
        (format!("{chunked}ffff\r\n"), "413"),
        (format!("{chunked}1;{long}\r\n"), "400"),
        (format!("{chunked}0\r\n{long}\r\n"), "400"),
    ]);
}

#[test]
fn more_than_the_limits_is_refused() {
    let host = "Host: a\r\n";
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    let long = "x".repeat(9_000);
    let many = "a: b\r\n".repeat(100);
    are_refused(&[
        (format!("{post}Content-Length: 1001\r\n\r\n"), "413"),
        (format!("{post}Content-Length: 99999999999999999999\r\n\r\n"), "400"),
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), "414"),
        (format!("GET /{long}{long}"), "414"),
        (format!("GET / HTTP/1.1\r\n{host}X: {long}{long}"), "431"),
        (format!("GET / HTTP/1.1\r\n{host}{many}\r\n"), "431"),
    ]);
}

#[test]
fn what_is_no_request_is_refused() {
    let host = "Host: a\r\n";
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    are_refused(&[
        ("GET / HTTP/1.1\r\n\r\n".into(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), "400"),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET relative HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), "505"),
        (format!("BREW / HTTP/1.1\r\n{host}\r\n"), "501"),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".into(), "400"),
        (format!("{post}Expect: wonders\r\nContent-Length: 1\r\n\r\n"), "417"),
    ]);
}

#[test]
fn a_body_that_is_not_wanted_ends_the_connection() {
    let host = "Host: a\r\n";
    are_refused(&[
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"), "200"),
        (format!("PUT /echo HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"), "405"),
        (format!("POST /no HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"), "405"),
    ]);
}

#[test]
fn http_1_0_closes_unless_it_asks_for_more() {
    let server = Program::start("http", &[]);
    let answer = ask(&server, b"GET / HTTP/1.0\r\n\r\n");
    assert!(answer.contains("Connection: close") && body(&answer) == "hello, world", "{answer}");
    let kept = b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nHEAD / HTTP/1.0\r\n\r\n";
    let answer = ask(&server, kept);
    assert!(answer.contains("Connection: keep-alive"), "{answer}");
    assert_eq!(answer.matches("hello, world").count(), 1, "a HEAD has no body: {answer}");
    let answer = ask(&server, b"POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    assert!(!answer.contains("chunked") && body(&answer) == "abc", "{answer}");
    let answer =
        ask(&server, b"GET http://b/?q HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n");
    assert_eq!((status(&answer), body(&answer)), ("200", "hello, world"));
    server.stop();
}

#[test]
fn a_body_is_asked_for_when_it_is_wanted() {
    let server = Program::start("http", &["--body-limit", "10"]);
    let head = |length| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let mut stream = server.client();
    stream.write_all(head(3).as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.ends_with(b"\r\n\r\nabc"));
    assert_eq!(status(&ask(&server, head(11).as_bytes())), "413");
    server.stop();
}

#[test]
fn slow_heads_and_idle_connections_end_in_time_while_others_are_served() {
    let words = ["--head-timeout", "0.5", "--idle-timeout", "2"];
    let server = Program::start("http", &words);
    let began = Instant::now();
    let mut slow: Vec<TcpStream> = (0..50).map(|_| server.client()).collect();
    let mut idle = server.client();
    let mut stuck = server.client();
    let half = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
    stuck.write_all(half).unwrap();
    let mut ended = 0;
    while ended < slow.len() {
        for stream in &mut slow {
            let _ = stream.write_all(b"X");
        }
        let answer = ask(&server, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(body(&answer), "hello, world");
        pace(Duration::from_millis(50));
        ended = slow.iter().filter(|stream| has_answer(stream)).count();
        assert!(began.elapsed() < PATIENCE, "{ended} of them have ended");
    }
    for stream in &mut slow {
        assert_eq!(status(&String::from_utf8_lossy(&read_to_end(stream))), "408");
    }
    assert_eq!(read_to_end(&mut idle), b"", "nothing was asked, so nothing is answered");
    let answer = read_to_end(&mut stuck);
    assert_eq!(status(&String::from_utf8_lossy(&answer)), "408", "half a body");
    server.stop();
}

fn has_answer(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let answer = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

// Files.

#[test]
fn no_path_leads_out_of_the_directory() {
    let dir = site();
    let server = with_files(&dir);
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        ask(&server, request.as_bytes())
    };
    for (path, text) in [
        ("/files/hello.txt", "0123456789"),
        ("/files//./hello.txt", "0123456789"),
        ("/files/in", "0123456789"),
        ("/files/%68ello.txt?query", "0123456789"),
        ("/files/a%20b.txt", "with a space"),
        ("/files/", "<h1>index</h1>"),
        ("/files/empty", ""),
    ] {
        let answer = get(path);
        assert_eq!((status(&answer), body(&answer)), ("200", text), "{path}");
    }
    for path in [
        "/files/../secret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/..%2fsecret.txt",
        "/files/%2fetc/passwd",
        "/files//etc/passwd",
        "/files/up/secret.txt",
        "/files/out",
        "/files/.hidden",
        "/files/hello.txt%00.png",
        "/files/hello.txt/",
        "/files/..%5csecret.txt",
        "/files/%zz",
        "/files/%",
        "/files/nothing",
        "/filesystem",
    ] {
        let answer = get(path);
        assert_eq!(status(&answer), "404", "{path}");
        assert!(!answer.contains("secret") && !answer.contains("root:"), "{path}: {answer}");
    }
    server.stop();
}

/// The head and the body of an answer.
fn get(server: &Program, path: &str, header: &str) -> (String, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
    let mut stream = server.client();
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read_to_end(&mut stream);
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8_lossy(&answer[..head]).into_owned(), answer[head..].to_vec())
}

#[test]
fn ranges_are_exact_to_the_byte() {
    let dir = site();
    let server = with_files(&dir);
    let all = pattern(5_000_000);
    for (range, first, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 5_000_000),
        ("bytes=65535-65536", 65_535, 65_537),
        ("bytes=1000001-3999999", 1_000_001, 4_000_000),
        ("bytes=4999999-", 4_999_999, 5_000_000),
        ("bytes=4999990-9999999", 4_999_990, 5_000_000),
        ("bytes=-7", 4_999_993, 5_000_000),
        ("bytes=-9999999", 0, 5_000_000),
    ] {
        let (head, body) = get(&server, "/files/large", &format!("Range: {range}\r\n"));
        assert_eq!(status(&head), "206", "{range}");
        let told = format!("Content-Range: bytes {first}-{}/5000000\r\n", end - 1);
        assert!(head.contains(&told), "{range}: {head}");
        assert!(body == all[first..end], "{range}: {} bytes", body.len());
    }
    for range in ["bytes=5000000-", "bytes=-0", "bytes=9999999-99999999"] {
        let (head, body) = get(&server, "/files/large", &format!("Range: {range}\r\n"));
        assert_eq!((status(&head), body.len()), ("416", 0), "{range}");
        assert!(head.contains("Content-Range: bytes */5000000\r\n"), "{head}");
    }
    for range in ["bytes=2-1", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=+1-2", "bytes"] {
        let (head, body) = get(&server, "/files/hello.txt", &format!("Range: {range}\r\n"));
        assert_eq!((status(&head), &body[..]), ("200", &b"0123456789"[..]), "{range}");
    }
    let (head, _) = get(&server, "/files/empty", "Range: bytes=0-\r\n");
    assert_eq!(status(&head), "416", "an empty file has no first byte");
    server.stop();
}

#[test]
fn dates_say_whether_a_file_or_a_range_of_it_is_sent() {
    let dir = site();
    let server = with_files(&dir);
    let all = pattern(5_000_000);
    let (head, body) = get(&server, "/files/large", "");
    assert!(status(&head) == "200" && body == all);
    let modified = head.lines().find_map(|line| line.strip_prefix("Last-Modified: ")).unwrap();
    let (head, body) = get(&server, "/files/large", &format!("If-Modified-Since: {modified}\r\n"));
    assert_eq!((status(&head), body.len()), ("304", 0));
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (head, _) = get(&server, "/files/large", &format!("If-Modified-Since: {long_ago}\r\n"));
    assert_eq!(status(&head), "200");
    for (date, expected) in [(modified, "206"), (long_ago, "200")] {
        let headers = format!("Range: bytes=1-2\r\nIf-Range: {date}\r\n");
        assert_eq!(status(&get(&server, "/files/large", &headers).0), expected, "If-Range: {date}");
    }
    server.stop();
}

#[test]
fn requests_behind_a_large_file_wait_for_it_at_bounded_memory() {
    let dir = site();
    let server = with_files(&dir);
    let mut stream = server.client();
    let request = b"GET /files/large HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..20 {
        stream.write_all(request).unwrap();
    }
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.ends_with(b"hello, world"));
    assert!(answer.len() > 100_000_000, "{} bytes", answer.len());
    // The same with many short answers.
    let mut stream = server.client();
    let mut writer = stream.try_clone().unwrap();
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50_000);
    let sent = thread::spawn(move || {
        writer.write_all(&requests).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // Nothing is read for a while: the server has to do with what it has.
    delay(Duration::from_millis(300));
    let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
    sent.join().unwrap();
    assert_eq!(answer.matches("hello, world").count(), 50_000);
    if let Some(peak) = server.peak_memory() {
        assert!(peak < 16 << 10, "{peak} KiB");
    }
    server.stop();
}

#[test]
fn a_file_on_its_way_is_sent_to_its_end_when_the_server_stops() {
    let dir = site();
    let server = with_files(&dir);
    let mut stream = server.client();
    stream.write_all(b"GET /files/large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    let reader = thread::spawn(move || {
        // Nothing is read for a while: the server must not end before.
        delay(Duration::from_millis(200));
        read_to_end(&mut stream)
    });
    server.stop();
    assert!(reader.join().unwrap().len() > 5_000_000);
}

// Clients that we did not write.

fn curl(server: &Program, words: &[&str], path: &str) -> Option<Vec<u8>> {
    if !has("curl", &["--version"]) {
        return None;
    }
    let url = format!("http://{}{path}", server.addr);
    let mut command = Command::new("curl");
    let output = run(command.args(["-sS", "--max-time", "50"]).args(words).arg(url));
    assert!(output.status.success(), "curl {words:?} {path}: {}", output.status);
    Some(output.stdout)
}

#[test]
fn curl_gets_back_100_mb_byte_by_byte_at_bounded_memory() {
    let dir = TempDir::new().unwrap();
    let server = Program::start("http", &[]);
    let path = dir.path().join("large");
    let sent = pattern(100_000_000);
    fs::write(&path, &sent).unwrap();
    let data = path.to_str().unwrap();
    for coding in ["Transfer-Encoding: chunked", "Content-Length: 100000000"] {
        let words = ["-X", "POST", "-T", data, "-H", coding, "-H", "Expect: 100-continue"];
        let Some(answer) = curl(&server, &words, "/echo") else { return };
        assert!(answer == sent, "{coding}: {} bytes", answer.len());
    }
    if let Some(peak) = server.peak_memory() {
        assert!(peak < 16 << 10, "{peak} KiB");
    }
    server.stop();
}

#[test]
fn curl_sees_pages_ranges_and_events() {
    let dir = site();
    let server = with_files(&dir);
    let Some(answer) = curl(&server, &[], "/") else { return };
    assert_eq!(answer, b"hello, world");
    assert_eq!(curl(&server, &["-r", "2-4"], "/files/hello.txt").unwrap(), b"234");
    let both = curl(&server, &["-I"], "/files/large").unwrap();
    assert!(String::from_utf8_lossy(&both).contains("Content-Length: 5000000\r\n"));
    let script = format!("curl -sS --max-time 3 http://{}/events; true", server.addr);
    let events = run(Command::new("sh").args(["-c", &script])).stdout;
    let events = String::from_utf8_lossy(&events).into_owned();
    assert!(
        events.starts_with("id: 1\ndata: ") && events.contains("\n\nid: 2\ndata: "),
        "{events}"
    );
    server.stop();
}

#[test]
fn ab_sees_no_failure() {
    let server = Program::start("http", &[]);
    if !has("ab", &["-V"]) {
        return;
    }
    for words in [&["-n", "2000", "-c", "20"][..], &["-n", "20000", "-c", "20", "-k"]] {
        let url = format!("http://{}/", server.addr);
        let output = run(Command::new("ab").args(words).arg(url));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let complete = format!("Complete requests:      {}\n", words[1]);
        assert!(said.contains(&complete) && said.contains("Failed requests:        0\n"), "{said}");
        let kept = said.contains(&format!("Keep-Alive requests:    {}\n", words[1]));
        assert_eq!(kept, words.contains(&"-k"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
    }
    server.stop();
}

#[test]
fn wrk_sees_no_failure() {
    let server = Program::start("http", &[]);
    if !has("wrk", &["-v"]) {
        return;
    }
    let url = format!("http://{}/", server.addr);
    let output = run(Command::new("wrk").args(["-t1", "-c50", "-d2s"]).arg(url));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("Requests/sec:"), "{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    server.stop();
}

#[test]
fn a_browser_shows_the_events() {
    let dir = TempDir::new().unwrap();
    let server = Program::start("http", &["--files", dir.path().to_str().unwrap()]);
    if !has("chromium", &["--version"]) {
        return;
    }
    // The browser tells what it shows once everything is loaded: the page around ours waits for a
    // picture that takes as long as some events.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let picture = listener.accept();
        delay(Duration::from_secs(3));
        drop(picture);
    });
    let page = format!(
        "<iframe id=clock src=/clock></iframe><img src=http://127.0.0.1:{port}/>
         <script>onload = () => {{
             const page = document.getElementById('clock').contentDocument;
             const [time, count] = ['time', 'count'].map(id => page.getElementById(id).textContent);
             document.body.textContent = `shown: ${{count}} ${{time}}`;
         }};</script>"
    );
    fs::write(dir.path().join("around.html"), page).unwrap();
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", &profile, "--dump-dom"]);
    let output = run(command.arg(format!("http://{}/files/around.html", server.addr)));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = said.split("shown: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let (count, time) = shown.split_once(' ').unwrap();
    assert!(count.parse::<u32>().unwrap() >= 2 && time.contains(" GMT"), "{said}");
    server.stop();
}
