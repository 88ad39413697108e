//! `serve --loops`: several loops that look like one server from outside.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::command::{Server, exchange, read_to_end, run, tcp, unix};
use crate::waits::{PATIENCE, pace};

/// As many clients as make sure that each of two loops gets some, however they are spread.
const CLIENTS: usize = 32;

fn start(words: &[&str], spread: &str) -> Server {
    Server::start(&[words, &["--loops", "2", "--balance", spread]].concat())
}

#[test]
fn what_makes_no_sense_exits_with_2_and_names_the_culprit() {
    for (words, culprit) in [
        (&["--tcp", "127.0.0.1:0", "--loops", "0"][..], "--loops"),
        (&["--tcp", "127.0.0.1:0", "--loops", "1025"], "1025"),
        (&["--tcp", "127.0.0.1:0", "--loops", "2", "--workers", "threads:2"], "--workers"),
        (&["--tcp", "127.0.0.1:0", "--loops", "2", "--balance", "evenly"], "evenly"),
        (&["--tcp", "127.0.0.1:0", "--balance", "reuseport"], "--loops"),
        (&["--unixgram", "x", "--loops", "2"], "--unixgram"),
    ] {
        let (code, out, err) = run(&[&["serve", "echo"], words].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.contains(culprit) && !err.contains("panicked"), "{words:?}: {err}");
    }
}

#[test]
fn a_listener_has_one_line_and_a_port_of_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    for spread in ["reuseport", "least-connections"] {
        let at = path.to_str().unwrap();
        let words = ["echo", "--tcp", "127.0.0.1:0", "--tcp", "[::1]:0", "--unix", at];
        let mut server = start(&words, spread);
        let (four, six) = (server.tcp_addr(), server.tcp_addr());
        assert_eq!(server.line(), format!("listening unix {at}"));
        for _ in 0..4 {
            assert_eq!(exchange(&mut tcp(&four), b"four"), b"four");
            assert_eq!(exchange(&mut tcp(&six), b"six"), b"six");
            assert_eq!(exchange(&mut unix(&path), b"unix"), b"unix");
        }
        for more in [&[][..], &["--loops", "2", "--balance", "reuseport"], &["--loops", "2"]] {
            let (code, _, err) = run(&[&["serve", "echo", "--tcp", &four], more].concat());
            assert!(code == 1 && err.contains(&four) && err.contains("in use"), "{err}");
        }
        server.stop();
        assert!(!path.exists());
    }
}

#[test]
fn every_service_serves_the_clients_of_every_loop() {
    for spread in ["reuseport", "least-connections"] {
        for service in ["echo", "upper", "discard", "chargen", "daytime", "time"] {
            let mut server = start(&[service, "--tcp", "127.0.0.1:0"], spread);
            let addr = server.tcp_addr();
            let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| tcp(&addr)).collect();
            for client in &mut clients {
                match service {
                    "echo" => assert_eq!(exchange(client, b"hello"), b"hello"),
                    "upper" => assert_eq!(exchange(client, b"hello"), b"HELLO"),
                    "discard" => {
                        client.write_all(b"hello").unwrap();
                        client.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(read_to_end(client), b"");
                    }
                    "chargen" => {
                        let mut line = [0; 74];
                        client.read_exact(&mut line).unwrap();
                        assert!(line.starts_with(b" !\"#") && line.ends_with(b"\r\n"));
                    }
                    "daytime" => assert!(read_to_end(client).ends_with(b"\r\n")),
                    _ => assert_eq!(read_to_end(client).len(), 4),
                }
            }
            drop(clients);
            server.stop();
        }
    }
}

#[test]
fn datagrams_are_answered_whichever_loop_gets_them() {
    for service in ["echo", "upper"] {
        let mut server = start(&[service, "--udp", "127.0.0.1:0"], "least-connections");
        let line = server.line();
        let addr = line.strip_prefix("listening udp ").unwrap();
        for _ in 0..CLIENTS {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(addr).unwrap();
            socket.send(b"hello").unwrap();
            let mut answer = [0; 16];
            assert_eq!(socket.recv(&mut answer).unwrap(), 5);
            assert_eq!(&answer[..5], if service == "echo" { b"hello" } else { b"HELLO" });
        }
        server.stop();
    }
}

fn line(member: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut line = Vec::new();
    member.read_until(b'\n', &mut line).unwrap();
    line
}

/// Joins and waits until all `others` hear it, so that everybody is in the room. The first of all
/// has nobody to tell; where one loop accepts for all, it is let in before the second.
fn join(addr: &str, others: &mut [BufReader<TcpStream>], nth: usize) -> BufReader<TcpStream> {
    let mut member = tcp(addr);
    if nth > 0 {
        member.write_all(format!("{nth} is here\n").as_bytes()).unwrap();
    }
    for other in others {
        while line(other) != format!("{nth} is here\n").as_bytes() {}
    }
    BufReader::new(member)
}

/// The second of all greets until the first hears it, for where the kernel spreads, the first may
/// be let in by its loop after the second has spoken in another. Greetings may be left over.
fn meet(mut first: BufReader<TcpStream>, addr: &str) -> [BufReader<TcpStream>; 2] {
    let mut second = tcp(addr);
    let heard = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(line(&mut first), b"hello\n");
            heard.store(true, Ordering::SeqCst);
        });
        while !heard.load(Ordering::SeqCst) {
            second.write_all(b"hello\n").unwrap();
            thread::yield_now();
        }
    });
    [first, BufReader::new(second)]
}

const MEMBERS: usize = 12;
const LINES_OF_EACH: usize = 400;

/// Speaks and hears at the same time: of each other member every line, whole and in its order.
fn talk(who: usize, mut member: BufReader<TcpStream>) -> BufReader<TcpStream> {
    let mut out = member.get_ref().try_clone().unwrap();
    let speaker = thread::spawn(move || {
        for n in 0..LINES_OF_EACH {
            let text = format!("{who} {n} {}\n", "x".repeat(n % 2_000));
            out.write_all(text.as_bytes()).unwrap();
        }
    });
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    let mut left = LINES_OF_EACH * (MEMBERS - 1);
    while left > 0 {
        let text = String::from_utf8(line(&mut member)).unwrap();
        if text.starts_with("hello") {
            continue;
        }
        left -= 1;
        let words: Vec<&str> = text.trim_end_matches('\n').split(' ').collect();
        let (from, n): (usize, usize) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        assert_ne!(from, who, "nobody hears itself");
        assert_eq!(words[2], "x".repeat(n % 2_000));
        let expected = next.entry(from).or_default();
        assert_eq!(n, *expected, "{who} hears {from}");
        *expected += 1;
    }
    speaker.join().unwrap();
    member
}

#[test]
#[cfg_attr(mio_unsupported_force_poll_poll, ignore = "there mio may lose a wake from another loop")]
fn a_chat_over_several_loops_is_one_room_with_whole_lines_in_order() {
    for spread in ["reuseport", "least-connections"] {
        let mut server = start(
            &["chat", "--tcp", "127.0.0.1:0", "--tcp", "[::1]:0", "--high-water", "8KiB"],
            spread,
        );
        let addrs = [server.tcp_addr(), server.tcp_addr()];
        let mut members: Vec<BufReader<TcpStream>> = Vec::new();
        let first = BufReader::new(tcp(&addrs[0]));
        members.extend(meet(first, &addrs[1]));
        for nth in 2..MEMBERS {
            let member = join(&addrs[nth % 2], &mut members, nth);
            members.push(member);
        }
        // Everybody speaks and hears at the same time, and more than any queue holds.
        let talking: Vec<_> = members
            .into_iter()
            .enumerate()
            .map(|(who, member)| thread::spawn(move || talk(who, member)))
            .collect();
        let members: Vec<_> = talking.into_iter().map(|one| one.join().unwrap()).collect();
        drop(members);
        server.stop();
    }
}

#[test]
fn a_stuck_member_of_another_loop_costs_the_speakers_nothing_and_memory_is_bounded() {
    // The loops get them in turn: the reader and the speaker here, the stuck one there.
    let mut server = start(&["chat", "--tcp", "127.0.0.1:0"], "least-connections");
    let addr = server.tcp_addr();
    let mut members = vec![join(&addr, &mut [], 0)];
    let stuck = join(&addr, &mut members, 1);
    let speaker = join(&addr, &mut members, 2);
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
        members[0].read_exact(&mut got).unwrap();
        assert!(got == text, "line {n}");
    }
    talk.join().unwrap();
    assert!(server.memory() < 64 << 10, "{} KiB", server.memory());
    drop(stuck);
    server.stop();
}

#[test]
fn a_slow_member_of_another_loop_hears_every_line() {
    const LINES: usize = 20_000;

    let mut server = start(&["chat", "--tcp", "127.0.0.1:0"], "least-connections");
    let addr = server.tcp_addr();
    let mut members = vec![join(&addr, &mut [], 0)];
    let speaker = join(&addr, &mut members, 1);
    let mut slow = members.remove(0);
    let talk = thread::spawn(move || {
        let mut out = speaker.get_ref();
        for n in 0..LINES {
            out.write_all(format!("{n:01023}\n").as_bytes()).unwrap();
        }
        speaker
    });
    for n in 0..LINES {
        if n % 500 == 0 {
            // It reads, but much slower than is spoken.
            pace(std::time::Duration::from_millis(10));
        }
        assert_eq!(line(&mut slow), format!("{n:01023}\n").into_bytes());
    }
    talk.join().unwrap();
    server.stop();
}

#[test]
fn connections_are_counted_over_all_loops() {
    for spread in ["reuseport", "least-connections"] {
        let mut server = start(&["echo", "--tcp", "127.0.0.1:0", "--max-connections", "2"], spread);
        let addr = server.tcp_addr();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let addr = addr.clone();
                thread::spawn(move || assert_eq!(exchange(&mut tcp(&addr), b"hello"), b"hello"))
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        server.stop();
    }
}

#[test]
fn a_stop_under_load_answers_what_was_taken_in_every_loop() {
    for (spread, signal) in [("reuseport", "TERM"), ("least-connections", "INT")] {
        let mut server = start(&["echo", "--tcp", "127.0.0.1:0"], spread);
        let addr = server.tcp_addr();
        let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| tcp(&addr)).collect();
        let (stopping, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for mut client in clients {
                let (stopping, rounds) = (&stopping, &rounds);
                scope.spawn(move || {
                    // Each answer is whole, and is followed by another or by the end.
                    loop {
                        if client.write_all(b"0123456789").is_err() {
                            break;
                        }
                        let mut answer = [0; 10];
                        let mut got = 0;
                        while got < answer.len() {
                            match client.read(&mut answer[got..]) {
                                Ok(n) if n > 0 => got += n,
                                _ => break,
                            }
                        }
                        assert!(got == 0 || &answer == b"0123456789", "{got} bytes of an answer");
                        if got == 0 {
                            break;
                        }
                        rounds.fetch_add(1, Ordering::SeqCst);
                    }
                    assert!(stopping.load(Ordering::SeqCst), "the end came before the stop");
                });
            }
            while rounds.load(Ordering::SeqCst) < 2_000 {
                thread::yield_now();
            }
            stopping.store(true, Ordering::SeqCst);
            server.signal(signal);
            assert_eq!(server.wait().code(), Some(0));
        });
    }
}
