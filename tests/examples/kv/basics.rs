//! The example `kv`: what `redis-cli` and `redis-benchmark` make of it, and what no client of good
//! will would send.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::resp::{ask, encode, lines};
use crate::command::{Server, has, read_to_end, tcp};
use crate::example_server;
use crate::waits::pace;

/// A running server, and where it is.
fn start() -> (Server, String) {
    start_with(&["127.0.0.1:0"])
}

fn start_with(words: &[&str]) -> (Server, String) {
    let mut server = example_server::start("kv", words);
    let addr = example_server::addr(&mut server);
    (server, addr)
}

#[test]
fn a_person_may_type_commands() {
    let (_server, addr) = start();
    let answer = ask(&addr, b"set  name  x \r\n\r\nGet name\n\nnonsense\nquit\nping\n");
    let unknown = "-ERR unknown command 'nonsense', with args beginning with: ";
    assert_eq!(lines(&answer), ["+OK", "$1", "x", unknown, "+OK"]);
    for (typed, value) in [
        (r#""a b""#, "a b"),
        (r#""\x41\n\"\q""#, "A\n\"q"),
        (r"'it\'s \n'", "it's \\n"),
        (r#"a"b c""#, "ab c"),
        (r#""""#, ""),
    ] {
        let line = format!("ECHO {typed}\r\n");
        assert_eq!(
            ask(&addr, line.as_bytes()),
            format!("${}\r\n{value}\r\n", value.len()),
            "{typed}"
        );
    }
    for line in ["get \"a", "get 'a", "get \"a\"b", "get \"a\\\""] {
        let answer = ask(&addr, format!("{line}\r\nping\r\n").as_bytes());
        assert_eq!(answer, "-ERR Protocol error: unbalanced quotes in request\r\n", "{line}");
    }
}

#[test]
fn commands_are_the_same_however_they_are_cut() {
    let (_server, addr) = start();
    let commands: &[&[&str]] = &[
        &["FLUSHALL"],
        &["SET", "key", "with\r\n$3\r\nin it"],
        &["GET", "key"],
        &[],
        &["nonsense", "*1"],
        &["MGET", "key", "", "key"],
        &["INCR", "number"],
    ];
    let mut input: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
    input.extend(b"PING typed\r\n*1\r\n$4\r\nQUIT\r\n");
    let whole = ask(&addr, &input);
    assert!(whole.ends_with("$5\r\ntyped\r\n+OK\r\n"), "{whole}");
    for at in 1..input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(in_pieces(&addr, [first, second]), whole, "cut at {at}");
    }
    assert_eq!(in_pieces(&addr, input.chunks(1)), whole);
}

/// Sends piece by piece, with time between them for the server to see each alone.
fn in_pieces<'a>(addr: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = tcp(addr);
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        stream.write_all(piece).unwrap();
        pace(Duration::from_micros(500));
    }
    String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned()
}

#[test]
fn what_is_no_command_ends_its_connection_only() {
    let (server, addr) = start();
    let before = server.memory();
    for (input, what) in [
        ("*999999999\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        ("*x\r\n", "invalid multibulk length"),
        ("*+1\r\n", "invalid multibulk length"),
        ("*0000000000000000000000000000000000000001", "invalid multibulk length"),
        ("*1\r\n$-5\r\n", "invalid bulk length"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"),
        ("*1\r\n$18446744073709551617\r\n", "invalid bulk length"),
        ("*1\r\n:4\r\n", "expected '$', got ':'"),
        ("*1\r\n$4\r\nPINGxx", "expected the end of a bulk"),
    ] {
        let answer = ask(&addr, format!("PING\r\n{input}PING\r\n").as_bytes());
        assert_eq!(answer, format!("+PONG\r\n-ERR Protocol error: {what}\r\n"), "{input}");
    }
    let long = [b'x'; 100_000];
    assert_eq!(ask(&addr, &long), "-ERR Protocol error: too big inline request\r\n");
    // Nothing is reserved on the word of a length.
    let mut waiting: Vec<TcpStream> = (0..50).map(|_| tcp(&addr)).collect();
    for stream in &mut waiting {
        stream.write_all(b"*65536\r\n$8388608\r\nx").unwrap();
    }
    assert_eq!(ask(&addr, b"*-1\r\n*0\r\nPING\r\n"), "+PONG\r\n", "nothing is nothing");
    assert!(server.memory() < before + 20_000, "{} KiB", server.memory());
}

#[test]
fn a_client_that_does_not_read_waits_and_then_gets_everything() {
    let (server, addr) = start();
    let mut stream = tcp(&addr);
    behind(&mut stream, 2_000);
    let reader = tcp(&addr);
    assert_eq!(ask(&addr, b"PING\r\n"), "+PONG\r\n", "others are served");
    assert!(server.memory() < 60_000, "{} KiB", server.memory());
    drop(reader);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream).len(), 2_000 * REPLY);
}

/// Bytes of each reply that [`behind`] asks for.
const REPLY: usize = 60_000 + "$60000\r\n\r\n".len();

/// Asks for far more than anybody buffers, in one piece.
fn behind(stream: &mut TcpStream, times: usize) {
    stream.write_all(&encode(&["SET", "long", &"x".repeat(60_000)])).unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    stream.write_all("GET long\r\n".repeat(times).as_bytes()).unwrap();
}

#[test]
fn memory_has_an_end_and_what_is_deleted_makes_room() {
    let (_server, addr) = start_with(&["127.0.0.1:0", "10000"]);
    let mut stream = tcp(&addr);
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut tell = |words: &[&str]| {
        stream.write_all(&encode(words)).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line
    };
    let value = "x".repeat(1_000);
    let stored =
        (0..20).take_while(|n| tell(&["SET", &n.to_string(), &value]) == "+OK\r\n").count();
    assert_eq!(stored, 8);
    assert!(tell(&["SET", "other", &value]).starts_with("-OOM "));
    assert!(tell(&["APPEND", "1", &value]).starts_with("-OOM "));
    assert_eq!(tell(&["SET", "1", &value.replace('x', "y")]), "+OK\r\n", "no more than before");
    assert_eq!(tell(&["DEL", "1"]), ":1\r\n");
    assert_eq!(tell(&["SET", "other", &value]), "+OK\r\n");
}

#[test]
fn mset_is_all_or_nothing() {
    let (_server, addr) = start_with(&["127.0.0.1:0", "10000"]);
    let long = "x".repeat(6_000);
    let full = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    for word in ["MSET", "MSETNX"] {
        assert_eq!(ask(&addr, &encode(&[word, "a", &long, "b", &long])), full);
        assert_eq!(ask(&addr, b"DBSIZE\r\nEXISTS a b\r\n"), ":0\r\n:0\r\n");
    }
    // What is there already counts as what it grows by.
    assert_eq!(ask(&addr, &encode(&["MSET", "a", &long, "b", "x"])), "+OK\r\n");
    let other = long.replace('x', "y");
    assert_eq!(ask(&addr, &encode(&["MSET", "a", &other, "b", &long])), full);
    assert_eq!(ask(&addr, b"STRLEN b\r\n"), ":1\r\n");
    assert_eq!(ask(&addr, &encode(&["MSET", "a", &other, "b", "yy"])), "+OK\r\n");
}

#[test]
fn keys_expire_when_nobody_asks_for_them() {
    let (_server, addr) = start();
    let mut commands: Vec<u8> = encode(&["SET", "stays", "x"]);
    commands.extend(encode(&["SET", "later", "x", "EX", "1000"]));
    for n in 0..3_000 {
        commands.extend(encode(&["SET", &n.to_string(), "x", "PX", "20"]));
    }
    ask(&addr, &commands);
    until(|| ask(&addr, b"DBSIZE\r\n") == ":2\r\n");
    assert_eq!(ask(&addr, b"GET 7\r\nGET stays\r\n"), "$-1\r\n$1\r\nx\r\n");
    // One that was to expire later does so sooner.
    assert_eq!(ask(&addr, b"PEXPIRE later 10\r\n"), ":1\r\n");
    until(|| ask(&addr, b"DBSIZE\r\n") == ":1\r\n");
}

fn until(condition: impl FnMut() -> bool) {
    crate::waits::until("that", condition);
}

/// What comes in next, of this length.
fn next(stream: &mut TcpStream, len: usize) -> String {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn subscribers_get_what_is_published_while_they_subscribe() {
    let (_server, addr) = start();
    let joined = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
    let mut subscribers: Vec<TcpStream> = (0..3).map(|_| tcp(&addr)).collect();
    for stream in &mut subscribers {
        stream.write_all(b"SUBSCRIBE news\r\n").unwrap();
        assert_eq!(next(stream, joined.len()), joined);
    }
    assert_eq!(
        ask(&addr, b"PUBLISH news a\r\nPUBLISH news b\r\nPUBLISH old c\n"),
        ":3\r\n:3\r\n:0\r\n"
    );
    for stream in &mut subscribers {
        let one = |text| format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n{text}\r\n");
        let both = one("a") + &one("b");
        assert_eq!(next(stream, both.len()), both);
    }
    let mut first = subscribers.remove(0);
    first.write_all(b"GET x\r\nPING\r\nUNSUBSCRIBE\r\nGET x\r\nUNSUBSCRIBE\r\nQUIT\r\n").unwrap();
    let rest = String::from_utf8(read_to_end(&mut first)).unwrap();
    assert!(rest.starts_with("-ERR Can't execute"), "{rest}");
    let left = "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n";
    let none = "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n";
    let end = format!("*2\r\n$4\r\npong\r\n$0\r\n\r\n{left}$-1\r\n{none}+OK\r\n");
    assert!(rest.ends_with(&end), "{rest}");
    drop(subscribers);
    until(|| ask(&addr, b"PUBLISH news d\r\n") == ":0\r\n");
}

#[test]
fn a_subscriber_that_does_not_keep_up_is_ended() {
    let (_server, addr) = start();
    let mut slow = tcp(&addr);
    slow.write_all(b"SUBSCRIBE news\r\n").unwrap();
    slow.read_exact(&mut [0; 9]).unwrap();
    let large = encode(&["PUBLISH", "news", &"x".repeat(8 << 20)]);
    until(|| ask(&addr, &large) == ":0\r\n");
}

#[test]
fn a_stop_loses_no_reply_to_what_had_come_in() {
    let (mut server, addr) = start();
    let mut slow = tcp(&addr);
    behind(&mut slow, 1_000);
    slow.read_exact(&mut [0; REPLY]).unwrap();
    let clients: Vec<_> = (0..4)
        .map(|nth| {
            let addr = addr.clone();
            thread::spawn(move || count_until_the_end(&addr, nth))
        })
        .collect();
    until(|| ask(&addr, b"MGET 0 1 2 3\r\n").matches("$-1").count() == 0);
    server.signal("TERM");
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(read_to_end(&mut slow).len(), 999 * REPLY);
    assert_eq!(server.wait().code(), Some(0));
}

/// Has a number counted up, with a thousand commands on their way. Every reply comes, whole and in
/// order, and then an end that is no reset: what is on its way then is thrown away.
fn count_until_the_end(addr: &str, nth: usize) {
    let stream = tcp(addr);
    let mut writer = stream.try_clone().unwrap();
    let command = encode(&["INCR", &nth.to_string()]).repeat(16);
    let (answered, answers) = channel();
    thread::spawn(move || {
        let mut ahead = 0;
        while writer.write_all(&command).is_ok() {
            ahead += 1;
            if ahead > 60 && answers.recv().is_err() {
                return;
            }
        }
    });
    let mut numbers = 0;
    for line in BufReader::new(stream).lines() {
        numbers += 1;
        assert_eq!(line.unwrap(), format!(":{numbers}"));
        if numbers % 16 == 0 {
            // The writer may have ended.
            let _ = answered.send(());
        }
    }
    assert!(numbers > 0);
}

#[test]
fn a_request_of_http_is_ended_before_its_body() {
    let (_server, addr) = start();
    assert_eq!(ask(&addr, b"SET a 1\r\n"), "+OK\r\n");
    for head in ["POST / HTTP/1.1\r\nHost: a\r\n", "post\n", "PUT / HTTP/1.1\r\nhost: a\r\n"] {
        let answer = ask(&addr, format!("PING\r\n{head}\r\nFLUSHALL\r\nPING\r\n").as_bytes());
        let answers = lines(&answer);
        assert!(answers[0] == "+PONG" && answers.len() <= 2, "{answer}");
        assert!(
            answers.iter().skip(1).all(|answer| answer.starts_with("-ERR unknown")),
            "{answer}"
        );
    }
    assert_eq!(ask(&addr, b"MULTI\r\nPOST\r\nEXEC\r\n"), "+OK\r\n");
    assert_eq!(ask(&addr, b"GET a\r\n"), "$1\r\n1\r\n");
}

#[test]
fn an_idle_client_keeps_nothing_of_a_long_command() {
    let (server, addr) = start();
    let long = encode(&vec!["EXISTS"; 60_000]);
    let before = server.memory();
    let clients: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = tcp(&addr);
            stream.write_all(&long).unwrap();
            assert_eq!(next(&mut stream, ":0\r\n".len()), ":0\r\n");
            stream
        })
        .collect();
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB for {} clients", clients.len());
}

#[test]
fn a_first_line_that_nobody_takes_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kv");
    let tests = std::env::current_exe().unwrap();
    let kv = tests.ancestors().nth(2).unwrap().join("examples/kv");
    for stdout in [">/dev/full", ">&-"] {
        let script = format!("exec \"$0\" \"unix:$1\" {stdout}");
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", &script]).args([&kv, &path]).spawn().unwrap();
        until(|| UnixStream::connect(&path).is_ok());
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"QUIT\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "+OK\r\n", "{stdout}");
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn words_that_mean_nothing_are_named() {
    let tests = std::env::current_exe().unwrap();
    let kv = tests.ancestors().nth(2).unwrap().join("examples/kv");
    let foreign = OsStr::from_bytes(b"\xff");
    for words in [
        vec![foreign],
        vec![OsStr::new("127.0.0.1:0"), foreign],
        vec![OsStr::new("127.0.0.1:0"), OsStr::new("1"), foreign],
        vec![OsStr::new("127.0.0.1:0"), OsStr::new("1"), OsStr::new("2"), foreign],
        vec![OsStr::new("127.0.0.1:0"), OsStr::new("many")],
    ] {
        let done = Command::new(&kv).args(&words).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            done.status.code() == Some(2) && said.starts_with("kv: ") && said.contains("kv --help"),
            "{words:?}: {said}"
        );
        let mut unheard = Command::new("sh");
        unheard.args(["-c", "exec \"$0\" \"$@\" 2>/dev/full"]).arg(&kv).args(&words);
        assert_eq!(unheard.status().unwrap().code(), Some(2), "{words:?}");
    }
}

// Clients that we did not write.

fn port(addr: &str) -> &str {
    addr.rsplit(':').next().unwrap()
}

fn output(program: &str, addr: &str, words: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("timeout");
    command.args(["60", program, "-p", port(addr)]).args(words);
    let mut child: Child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read everything.
    let feeder = thread::spawn(move || drop(stdin.write_all(&input)));
    let done = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let all = [done.stdout, done.stderr].concat();
    String::from_utf8_lossy(&all).replace('\r', "\n")
}

#[test]
fn redis_cli_is_content() {
    let (_server, addr) = start();
    if !has("redis-cli") {
        return;
    }
    let input = b"set greeting \"hello world\"\nget greeting\nincr n\nincrby n 41\nmget n none\n";
    let answer = output("redis-cli", &addr, &[], input);
    assert_eq!(answer, "OK\nhello world\n1\n42\n42\n\n");
    let many: Vec<u8> =
        (0..1_000).flat_map(|n| encode(&["SET", &format!("key{n}"), "value"])).collect();
    let answer = output("redis-cli", &addr, &["--pipe"], &many);
    assert!(answer.contains("errors: 0, replies: 1000"), "{answer}");
    assert_eq!(output("redis-cli", &addr, &["dbsize"], b""), "1002\n");
    assert!(output("redis-cli", &addr, &["info"], b"").contains("connected_clients:1"));
}

#[test]
fn redis_benchmark_is_content() {
    let (_server, addr) = start();
    if !has("redis-benchmark") {
        return;
    }
    let tests = "ping,set,get,incr,mset";
    let words = ["-q", "-c", "10", "-P", "4", "-n", "2000", "-r", "100", "-t", tests];
    let answer = output("redis-benchmark", &addr, &words, b"");
    let done = answer.lines().filter(|line| line.contains("requests per second, p50")).count();
    assert_eq!(done, 6, "{answer}");
    assert!(!answer.to_lowercase().contains("error"), "{answer}");
}
