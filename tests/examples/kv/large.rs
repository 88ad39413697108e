//! The example `kv`: values of many megabytes, which come in, leave and are freed in pieces.

use std::io::{Read, Write};
use std::iter;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::resp::{ask, encode};
use crate::command::{Server, read_to_end, tcp};
use crate::example_server;
use crate::waits::pace;

const MIB: usize = 1 << 20;
/// As the server cuts them.
const PIECE: usize = 64 << 10;

fn start_with(words: &[&str]) -> (Server, String) {
    let mut server = example_server::start("kv", &[&["127.0.0.1:0"], words].concat());
    let addr = example_server::addr(&mut server);
    (server, addr)
}

/// So many bytes of which each piece is another.
fn value(len: usize) -> Vec<u8> {
    (0..len.div_ceil(8))
        .flat_map(|nth| (nth as u64 * 0x9e37_79b9).to_le_bytes())
        .take(len)
        .collect()
}

/// A command of which the last argument is this.
fn command(words: &[&str], last: &[u8]) -> Vec<u8> {
    let mut bytes = encode(&[words, &[""]].concat());
    bytes.truncate(bytes.len() - "$0\r\n\r\n".len());
    bytes.extend(format!("${}\r\n", last.len()).as_bytes());
    bytes.extend(last);
    bytes.extend(b"\r\n");
    bytes
}

fn next(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn expect(stream: &mut TcpStream, answer: &[u8]) {
    let got = next(stream, answer.len());
    let differs = got.iter().zip(answer).position(|(got, answer)| got != answer);
    assert_eq!(differs, None, "{:?}", String::from_utf8_lossy(&got[..got.len().min(100)]));
}

/// A value as it is answered.
fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

/// What the server says it uses.
fn used(addr: &str) -> usize {
    used_in(&ask(addr, b"INFO memory\r\n"))
}

fn used_in(info: &str) -> usize {
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.parse().unwrap()
}

fn until(condition: impl FnMut() -> bool) {
    crate::waits::until("that", condition);
}

#[test]
fn a_value_of_any_length_comes_back() {
    let (_server, addr) = start_with(&[]);
    let mut stream = tcp(&addr);
    for len in [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE + 3, 20 * MIB] {
        let value = value(len);
        stream.write_all(&command(&["SET", "a"], &value)).unwrap();
        expect(&mut stream, b"+OK\r\n");
        stream.write_all(b"GET a\r\nSTRLEN a\r\nMGET a none a\r\nINCR a\r\n").unwrap();
        expect(&mut stream, &bulk(&value));
        expect(&mut stream, format!(":{len}\r\n*3\r\n").as_bytes());
        expect(&mut stream, &bulk(&value));
        expect(&mut stream, b"$-1\r\n");
        expect(&mut stream, &bulk(&value));
        expect(&mut stream, b"-ERR value is not an integer or out of range\r\n");
    }
}

#[test]
fn every_command_that_takes_a_value_takes_a_large_one_and_no_other_does() {
    let (_server, addr) = start_with(&[]);
    let (large, mut stream) = (value(3 * PIECE + 5), tcp(&addr));
    let answered = bulk(&large);
    let refused = b"-ERR only values may have this length\r\n";
    for (words, answers) in [
        (&["SETEX", "a", "100"][..], [b"+OK\r\n", &answered[..]]),
        (&["PSETEX", "a", "100000"], [b"+OK\r\n", &answered]),
        (&["SETNX", "a"], [b":1\r\n", &answered]),
        (&["MSET", "b", "1", "a"], [b"+OK\r\n", &answered]),
        (&["MSETNX", "c", "1", "a"], [b":1\r\n", &answered]),
        (&["GETSET", "a"], [b"$-1\r\n", &answered]),
        (&["APPEND", "a"], [b":196613\r\n", &answered]),
        (&["ECHO"], [&answered, b"$-1\r\n"]),
        (&["PING"], [&answered, b"$-1\r\n"]),
        (&["PUBLISH", "a"], [b":0\r\n", b"$-1\r\n"]),
        (&["GET"], [refused, b"$-1\r\n"]),
        (&["SET", "a", "1"], [refused, b"$-1\r\n"]),
        (&["DEL", "a"], [refused, b"$-1\r\n"]),
        (
            &["NONE"],
            [b"-ERR unknown command 'NONE', with args beginning with: '' \r\n", b"$-1\r\n"],
        ),
    ] {
        stream.write_all(&command(words, &large)).unwrap();
        stream.write_all(b"GETDEL a\r\n").unwrap();
        for answer in answers {
            expect(&mut stream, answer);
        }
    }
    // The key behind it, and options, are where they were said to be.
    let mut set = command(&["SET", "k"], &large);
    set.splice(1..2, *b"5");
    set.extend(b"$2\r\nEX\r\n$3\r\n100\r\n");
    stream.write_all(&set).unwrap();
    stream.write_all(b"TTL k\r\n").unwrap();
    expect(&mut stream, b"+OK\r\n:100\r\n");
}

#[test]
fn large_values_are_the_same_however_they_are_cut() {
    let (_server, addr) = start_with(&[]);
    let large = value(2 * PIECE + 2);
    let mut commands = command(&["MSET", "a", "1", "b"], &large);
    commands.extend(command(&["APPEND", "b"], b"x"));
    commands.extend(b"PING typed\r\n");
    let head = commands.len() - large.len() - 60;
    for at in
        (1..60).chain((0..40).map(|n| head + PIECE + n)).chain(commands.len() - 60..commands.len())
    {
        let mut stream = tcp(&addr);
        stream.set_nodelay(true).unwrap();
        let (first, second) = commands.split_at(at);
        stream.write_all(first).unwrap();
        // So that each piece is read alone, most of the time.
        pace(Duration::from_micros(500));
        stream.write_all(second).unwrap();
        expect(&mut stream, b"+OK\r\n:131075\r\n$5\r\ntyped\r\n");
    }
    let mut stream = tcp(&addr);
    stream.write_all(b"GET b\r\n").unwrap();
    expect(&mut stream, &bulk(&[&large[..], b"x"].concat()));
}

#[test]
fn a_value_grows_no_longer_than_its_limit() {
    let (_server, addr) = start_with(&["2000000000"]);
    let mut stream = tcp(&addr);
    let half = vec![b'x'; 256 * MIB];
    for answer in ["+OK\r\n", ":536870912\r\n"] {
        let word = if answer == "+OK\r\n" { "SET" } else { "APPEND" };
        stream.write_all(&command(&[word, "a"], &half)).unwrap();
        expect(&mut stream, answer.as_bytes());
    }
    let longer = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n:536870912\r\n";
    stream.write_all(b"APPEND a x\r\nSTRLEN a\r\n").unwrap();
    expect(&mut stream, longer);
    stream.write_all(&command(&["APPEND", "a"], &half[..MIB])).unwrap();
    stream.write_all(b"STRLEN a\r\n").unwrap();
    expect(&mut stream, longer);
}

#[test]
fn small_pieces_that_are_appended_become_a_large_value() {
    let (_server, addr) = start_with(&[]);
    let mut stream = tcp(&addr);
    let whole = value(3 * PIECE);
    for piece in whole.chunks(1_777) {
        stream.write_all(&command(&["APPEND", "a"], piece)).unwrap();
        read_line(&mut stream);
    }
    stream.write_all(b"GET a\r\n").unwrap();
    expect(&mut stream, &bulk(&whole));
    until(|| used(&addr) < whole.len() + 1_000);
}

fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(next(stream, 1));
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn a_reply_under_way_keeps_what_it_began_with() {
    let (_server, addr) = start_with(&[]);
    let large = value(40 * MIB);
    let mut slow = tcp(&addr);
    slow.write_all(&command(&["SET", "a"], &large)).unwrap();
    expect(&mut slow, b"+OK\r\n");
    slow.write_all(b"GET a\r\nGET a\r\nPING\r\n").unwrap();
    let answer = bulk(&large);
    expect(&mut slow, &answer[..1_000]);
    assert_eq!(
        ask(&addr, b"APPEND a x\r\nSTRLEN a\r\nDEL a\r\nSET a y\r\n"),
        ":41943041\r\n:41943041\r\n:1\r\n+OK\r\n"
    );
    expect(&mut slow, &answer[1_000..]);
    // The second was asked for when the first was not yet taken.
    expect(&mut slow, b"$1\r\ny\r\n+PONG\r\n");
    until(|| used(&addr) < 1_000);
}

#[test]
fn replies_that_are_not_taken_are_not_copied() {
    let (server, addr) = start_with(&[]);
    let large = value(64 * MIB);
    let mut first = tcp(&addr);
    first.write_all(&command(&["SET", "a"], &large)).unwrap();
    expect(&mut first, b"+OK\r\n");
    until(|| used(&addr) < 65 * MIB);
    let before = server.memory();
    let mut slow: Vec<TcpStream> = (0..8).map(|_| tcp(&addr)).collect();
    for stream in &mut slow {
        stream.write_all(b"MULTI\r\nGET a\r\nMGET a a a\r\nEXEC\r\n").unwrap();
        expect(stream, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$67108864\r\n");
    }
    assert_eq!(ask(&addr, b"PING\r\n"), "+PONG\r\n");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB for 32 values of 64 MiB");
    drop(slow);
}

#[test]
fn what_is_large_is_freed_in_steps() {
    let (_server, addr) = start_with(&[]);
    let mut stream = tcp(&addr);
    let len = 128 * MIB;
    for command_that_frees in ["DEL a", "SET a 1", "FLUSHALL", "GETDEL a"] {
        stream.write_all(&command(&["SET", "a"], &vec![b'x'; len])).unwrap();
        expect(&mut stream, b"+OK\r\n");
        // In one turn: what the first lets go of the second still sees, but not for long.
        let info = ask(&addr, format!("{command_that_frees}\r\nINFO memory\r\n").as_bytes());
        if command_that_frees != "GETDEL a" {
            assert!(used_in(&info) >= len, "{command_that_frees}: {}", used_in(&info));
        }
        until(|| used(&addr) < 1_000);
    }
    // Many small keys are freed so as well.
    let many: Vec<u8> = (0..2_000).flat_map(|n| encode(&["SET", &n.to_string(), "x"])).collect();
    ask(&addr, &many);
    let full = used(&addr);
    let info = ask(&addr, b"FLUSHALL\r\nDBSIZE\r\nINFO memory\r\n");
    assert!(info.starts_with("+OK\r\n:0\r\n") && used_in(&info) >= full, "{info}");
    until(|| used(&addr) == 0);
}

#[test]
fn what_waits_to_be_freed_makes_room_when_room_is_needed() {
    let (_server, addr) = start_with(&["20000000"]);
    let large = value(15_000_000);
    let mut stream = tcp(&addr);
    for _ in 0..10 {
        stream.write_all(&command(&["SET", "a"], &large)).unwrap();
        stream.write_all(b"DEL a\r\n").unwrap();
        expect(&mut stream, b"+OK\r\n:1\r\n");
    }
}

#[test]
fn a_command_on_its_way_counts_and_ends_when_there_is_no_room() {
    let (server, addr) = start_with(&["20000000"]);
    let large = value(15_000_000);
    let whole = command(&["SET", "a"], &large);
    let mut first = tcp(&addr);
    first.write_all(&whole[..10_000_000]).unwrap();
    until(|| used(&addr) > 9_000_000);
    let full = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let before = server.memory();
    for _ in 0..3 {
        let mut second = tcp(&addr);
        second.write_all(&whole).unwrap();
        second.write_all(b"PING\r\n").unwrap();
        expect(&mut second, format!("{full}+PONG\r\n").as_bytes());
    }
    assert!(server.memory() < before + 15_000, "{} KiB", server.memory());
    first.write_all(&whole[10_000_000..]).unwrap();
    expect(&mut first, b"+OK\r\n");
    // One that leaves in the middle gives back what it had taken.
    assert_eq!(ask(&addr, b"DEL a\r\n"), ":1\r\n");
    let mut third = tcp(&addr);
    third.write_all(&whole[..10_000_000]).unwrap();
    until(|| used(&addr) > 9_000_000);
    drop(third);
    until(|| used(&addr) == 0);
}

#[test]
fn channels_cost_what_the_server_says_and_are_left_by_those_who_go() {
    let (server, addr) = start_with(&["20000000"]);
    let names: Vec<String> = (0..1_024).map(|nth| format!("channel{nth}")).collect();
    let mut words = vec!["SUBSCRIBE"];
    words.extend(names.iter().map(String::as_str));
    let before = server.memory();
    let listeners: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = tcp(&addr);
            stream.write_all(&encode(&words)).unwrap();
            while read_line(&mut stream) != ":1024\r\n" {}
            stream
        })
        .collect();
    let (grown, used_by) = (server.memory().saturating_sub(before) as usize, used(&addr) / 1_024);
    assert!(used_by > 40 * 150 && grown < used_by + 4_000, "{grown} KiB, {used_by} are known");
    assert_eq!(ask(&addr, b"PUBLISH channel7 x\r\n"), ":40\r\n");
    let more: Vec<(TcpStream, String)> = (0..60)
        .map(|_| {
            let mut stream = tcp(&addr);
            stream.write_all(&encode(&words)).unwrap();
            let ends = |line: &String| line == ":1024\r\n" || line.starts_with("-OOM ");
            let end = iter::repeat_with(|| read_line(&mut stream)).find(ends).unwrap();
            (stream, end)
        })
        .collect();
    assert!(more[0].1 == ":1024\r\n" && more[59].1.starts_with("-OOM "), "{}", more[59].1);
    assert!(used(&addr) <= 20_000_000);
    drop(more);
    drop(listeners);
    until(|| ask(&addr, b"PUBLISH channel7 x\r\n") == ":0\r\n");
    until(|| used(&addr) == 0);
}

#[test]
fn times_are_those_of_the_systems_clock() {
    let (_server, addr) = start_with(&[]);
    let mut stream = tcp(&addr);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    for _ in 0..300 {
        let before = now();
        let commands = format!("SET a x PXAT {}\r\nPTTL a\r\n", before + 100_000);
        stream.write_all(commands.as_bytes()).unwrap();
        assert_eq!(read_line(&mut stream), "+OK\r\n");
        let left = read_line(&mut stream);
        let left: u128 = left.trim_matches([':', '\r', '\n']).parse().unwrap();
        let passed = now() - before;
        assert!((100_000 - passed..=100_000).contains(&left), "{left} after {passed} ms");
    }
}

#[test]
fn messages_wait_for_the_end_of_a_large_reply() {
    let (_server, addr) = start_with(&[]);
    let (large, mut listener) = (value(20 * MIB), tcp(&addr));
    listener.write_all(&command(&["SET", "a"], &large)).unwrap();
    listener.write_all(b"HELLO 3\r\nSUBSCRIBE news\r\n").unwrap();
    while read_line(&mut listener) != "news\r\n" {}
    expect(&mut listener, b":1\r\n");
    listener.write_all(b"GET a\r\nPING\r\n").unwrap();
    let answer = bulk(&large);
    expect(&mut listener, &answer[..1_000]);
    let message = value(2 * PIECE);
    for text in [&b"short"[..], &message] {
        let mut other = tcp(&addr);
        other.write_all(&command(&["PUBLISH", "news"], text)).unwrap();
        expect(&mut other, b":1\r\n");
    }
    expect(&mut listener, &answer[1_000..]);
    let head = b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n";
    let messages = [head, &bulk(b"short")[..], head, &bulk(&message), b"+PONG\r\n"].concat();
    expect(&mut listener, &messages);
}

#[test]
fn a_listener_in_the_middle_of_a_reply_gets_no_more_than_its_limit() {
    let (_server, addr) = start_with(&[]);
    let mut slow = tcp(&addr);
    slow.write_all(&command(&["SET", "a"], &value(20 * MIB))).unwrap();
    slow.write_all(b"HELLO 3\r\nSUBSCRIBE news\r\n").unwrap();
    while read_line(&mut slow) != "news\r\n" {}
    expect(&mut slow, b":1\r\n");
    slow.write_all(b"GET a\r\n").unwrap();
    expect(&mut slow, b"$20971520\r\n");
    let message = command(&["PUBLISH", "news"], &value(8 * MIB));
    let answers: Vec<String> = (0..6).map(|_| ask(&addr, &message)).collect();
    assert_eq!(answers[..4], [":1\r\n", ":1\r\n", ":1\r\n", ":1\r\n"]);
    assert_eq!(answers[5], ":0\r\n");
}

#[test]
fn a_large_reply_arrives_whole_after_a_half_close_a_quit_and_a_stop() {
    let (mut server, addr) = start_with(&[]);
    let large = value(20 * MIB);
    let mut first = tcp(&addr);
    first.write_all(&command(&["SET", "a"], &large)).unwrap();
    expect(&mut first, b"+OK\r\n");
    let ends: [fn(&mut TcpStream); 2] = [
        |stream| stream.shutdown(Shutdown::Write).unwrap(),
        |stream| stream.write_all(b"QUIT\r\n").unwrap(),
    ];
    for (end, after) in ends.into_iter().zip([&b""[..], b"+OK\r\n"]) {
        let mut stream = tcp(&addr);
        stream.write_all(b"GET a\r\nGET a\r\n").unwrap();
        end(&mut stream);
        let whole = [&bulk(&large)[..], &bulk(&large), after].concat();
        assert!(read_to_end(&mut stream) == whole, "something is missing");
    }
    first.write_all(b"GET a\r\n").unwrap();
    expect(&mut first, b"$20971520\r\n");
    server.signal("TERM");
    assert!(read_to_end(&mut first) == [&large[..], b"\r\n"].concat(), "something is missing");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_transaction_that_waits_counts_and_has_a_limit() {
    let (_server, addr) = start_with(&["20000000"]);
    let mut stream = tcp(&addr);
    let set = command(&["SET", "a"], &value(60_000));
    stream.write_all(b"MULTI\r\n").unwrap();
    stream.write_all(&set.repeat(100)).unwrap();
    expect(&mut stream, "+OK\r\n".as_bytes());
    expect(&mut stream, &b"+QUEUED\r\n".repeat(100));
    assert!(used(&addr) > 6_000_000, "{}", used(&addr));
    stream.write_all(&set.repeat(200)).unwrap();
    stream.write_all(b"EXEC\r\n").unwrap();
    let answers: Vec<String> = (0..200).map(|_| read_line(&mut stream)).collect();
    let queued = answers.iter().take_while(|answer| *answer == "+QUEUED\r\n").count();
    assert!((150..185).contains(&queued), "{queued}, and 100 before: 16 MiB");
    assert!(
        answers[queued..].iter().all(|answer| answer == "-ERR the transaction is too long\r\n")
    );
    expect(&mut stream, b"-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert_eq!(used(&addr), 0);
}
