//! The chat room: whole lines, in order, to everybody else, whatever some members do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::command::{Server, tcp};
use crate::read_some::ReadSome;
use crate::waits::pace;

/// Some 40 MiB of lines.
const LINES: usize = 40_000;

/// Joins and waits until `others` hear it, so that everybody is in the room. The first has nobody
/// to tell, and its word could reach the second.
fn join(addr: &str, others: &mut [&mut BufReader<TcpStream>]) -> BufReader<TcpStream> {
    let mut member = tcp(addr);
    if !others.is_empty() {
        member.write_all(b"I am here\n").unwrap();
    }
    for other in others {
        assert_eq!(line(other), b"I am here\n");
    }
    BufReader::new(member)
}

fn line(member: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut line = Vec::new();
    member.read_until(b'\n', &mut line).unwrap();
    line
}

/// Says many lines, each in two pieces, while what others say is read by the thread that is given back.
fn speak(
    who: usize,
    speaker: BufReader<TcpStream>,
) -> (BufReader<TcpStream>, thread::JoinHandle<()>) {
    let mut out = speaker.get_ref();
    let mut input = out.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut sink = [0; 1 << 16];
        while input.read(&mut sink).is_ok_and(|n| n > 0) {}
    });
    for n in 0..2_000 {
        let text = format!("{who} {n} {}\n", "x".repeat(n % 300));
        // In two pieces, so that lines arrive cut.
        let (first, second) = text.as_bytes().split_at(text.len() / 2);
        out.write_all(first).unwrap();
        out.write_all(second).unwrap();
    }
    (speaker, reader)
}

#[test]
fn lines_of_several_speakers_reach_everybody_else_whole_and_in_order() {
    let mut server = Server::start(&["chat", "--tcp", "127.0.0.1:0", "--tcp", "[::1]:0"]);
    let (four, six) = (server.tcp_addr(), server.tcp_addr());
    let mut listener = join(&four, &mut []);
    let mut speakers = Vec::new();
    for n in 0..4 {
        // One room over all listeners.
        speakers.push(join(if n % 2 == 0 { &four } else { &six }, &mut [&mut listener]));
    }
    let talking: Vec<_> = speakers
        .into_iter()
        .enumerate()
        .map(|(who, speaker)| thread::spawn(move || speak(who, speaker)))
        .collect();
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    for _ in 0..8_000 {
        let text = String::from_utf8(line(&mut listener)).unwrap();
        let mut words = text.trim_end_matches('\n').split(' ');
        let who: usize = words.next().unwrap().parse().unwrap();
        let n: usize = words.next().unwrap().parse().unwrap();
        assert_eq!(words.next().unwrap(), "x".repeat(n % 300));
        let expected = next.entry(who).or_default();
        assert_eq!(n, *expected, "of speaker {who}");
        *expected += 1;
    }
    for talk in talking {
        let (speaker, reader) = talk.join().unwrap();
        speaker.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
        reader.join().unwrap();
    }
    server.stop();
}

#[test]
fn any_bytes_pass_and_nobody_hears_itself() {
    let mut server = Server::start(&["chat", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let mut one = join(&addr, &mut []);
    let mut two = join(&addr, &mut [&mut one]);
    let odd = b"\0\xFF\xFE not UTF-8 \r\n";
    one.get_mut().write_all(odd).unwrap();
    assert_eq!(line(&mut two), odd);
    two.get_mut().write_all(b"\n").unwrap();
    assert_eq!(line(&mut one), b"\n", "the first thing that it hears is not its own line");
    server.stop();
}

#[test]
fn a_line_that_is_too_long_closes_who_sent_it_and_nobody_else() {
    let mut server = Server::start(&["chat", "--tcp", "127.0.0.1:0", "--max-line", "1KiB"]);
    let addr = server.tcp_addr();
    let mut one = join(&addr, &mut []);
    let mut two = join(&addr, &mut [&mut one]);
    let mut bad = join(&addr, &mut [&mut one, &mut two]);
    let longest = [vec![b'y'; 1_024], b"\n".to_vec()].concat();
    bad.get_mut().write_all(&longest).unwrap();
    assert_eq!(line(&mut one), longest);
    assert_eq!(line(&mut two), longest);
    bad.get_mut().write_all(&[b'z'; 1_025]).unwrap();
    assert_eq!(bad.read_some(&mut [0; 16]).unwrap(), 0, "it is closed");
    one.get_mut().write_all(b"still here\n").unwrap();
    assert_eq!(line(&mut two), b"still here\n");
    server.stop();
}

#[test]
fn a_stuck_member_costs_the_others_nothing_and_memory_is_bounded() {
    let mut server = Server::start(&["chat", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let mut reader = join(&addr, &mut []);
    let stuck = join(&addr, &mut [&mut reader]);
    let speaker = join(&addr, &mut [&mut reader]);
    // 48 MiB: more than a stuck member's sockets and output limit hold.
    let text = [vec![b'l'; 1_023], b"\n".to_vec()].concat();
    let copy = text.clone();
    let talk = thread::spawn(move || {
        let mut out = speaker.get_ref();
        for _ in 0..48 << 10 {
            out.write_all(&copy).unwrap();
        }
        speaker
    });
    let mut got = vec![0; 1_024];
    for n in 0..48 << 10 {
        reader.read_exact(&mut got).unwrap();
        assert!(got == text, "line {n}");
    }
    talk.join().unwrap();
    assert!(server.memory() < 64 << 10, "{} KiB", server.memory());
    drop(stuck);
    server.stop();
}

#[test]
fn a_slow_member_that_reads_gets_every_line() {
    let mut server = Server::start(&["chat", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let mut slow = join(&addr, &mut []);
    let speaker = join(&addr, &mut [&mut slow]);
    let talk = thread::spawn(move || {
        let mut out = speaker.get_ref();
        for n in 0..LINES {
            out.write_all(format!("{n:01023}\n").as_bytes()).unwrap();
        }
        speaker
    });
    // Some 40 MiB in pieces with pauses, much slower than the speaker could go.
    slow.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut got = vec![0; 1_024];
    for n in 0..LINES {
        if n % 1_000 == 0 {
            // Its pace is what is tested.
            pace(Duration::from_millis(20));
        }
        match slow.read_exact(&mut got) {
            Ok(()) => assert_eq!(got, format!("{n:01023}\n").into_bytes()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => panic!("dropped at line {n}"),
            Err(error) => panic!("line {n}: {error}"),
        }
    }
    talk.join().unwrap();
    server.stop();
}
