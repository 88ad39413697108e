//! `--workers`: the services with blocking handlers, in threads and in processes, and what signals,
//! limits and a console that nobody reads do there.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::{self, BIN, Server, bin, exchange, read_to_end, run, tcp, unix};
use crate::waits::{PATIENCE, find, pace, until};

const MODES: [&str; 2] = ["threads:8", "processes:8"];

fn start(service: &str, mode: &str, options: &[&str]) -> (Server, String) {
    let words = [&[service, "--tcp", "127.0.0.1:0", "--workers", mode], options].concat();
    let mut server = Server::start(&words);
    let addr = server.tcp_addr();
    (server, addr)
}

/// The processes that serve for it now.
fn children(server: &Server) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        // Those that have ended and were not waited for yet serve nobody.
        let (state, parent) = (fields.next()?, fields.next()?);
        (state != "Z" && parent.parse() == Ok(server.pid())).then_some(pid)
    });
    all.collect()
}

fn the_child(server: &Server) -> i32 {
    let mut found = Vec::new();
    until("one child", || {
        found = children(server);
        found.len() == 1
    });
    found[0]
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// An end or a reset, but no bytes.
fn is_over(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 8]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn every_kind_of_listener_is_served() {
    for mode in MODES {
        let dir = tempfile::tempdir().unwrap();
        let (path, gram, own) =
            (dir.path().join("stream"), dir.path().join("gram"), dir.path().join("own"));
        let words = ["upper", "--workers", mode, "--tcp", "[::1]:0", "--udp", "127.0.0.1:0"];
        let mut words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        words.extend([OsStr::new("--unix"), path.as_os_str()]);
        words.extend([OsStr::new("--unixgram"), gram.as_os_str()]);
        let mut server = Server::start(&words);
        let (tcp_addr, udp_addr) = (server.tcp_addr(), server.line());
        let udp_addr = udp_addr.strip_prefix("listening udp ").unwrap();
        assert_eq!(server.line(), format!("listening unix {}", path.display()));
        assert_eq!(server.line(), format!("listening unixgram {}", gram.display()));

        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(exchange(&mut tcp(&tcp_addr), &all), all.to_ascii_uppercase(), "{mode}");
        assert_eq!(exchange(&mut unix(&path), &all), all.to_ascii_uppercase(), "{mode}");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let named = UnixDatagram::bind(&own).unwrap();
        named.set_read_timeout(Some(PATIENCE)).unwrap();
        for packet in [&b"hello"[..], b"", &all] {
            let mut answer = [0; 1_000];
            socket.send_to(packet, udp_addr).unwrap();
            let n = socket.recv(&mut answer).unwrap();
            assert_eq!(answer[..n], packet.to_ascii_uppercase(), "{mode}");
            named.send_to(packet, &gram).unwrap();
            let n = named.recv(&mut answer).unwrap();
            assert_eq!(answer[..n], packet.to_ascii_uppercase(), "{mode}");
        }
        server.stop();
        assert!(!path.exists() && !gram.exists());
    }
}

#[test]
fn daytime_and_time_answer_once_and_chargen_until_its_client_ends() {
    for mode in MODES {
        let (server, addr) = start("daytime", mode, &[]);
        let line = read_to_end(&mut tcp(&addr));
        assert!(line.ends_with(b"\r\n") && line.contains(&b':'), "{mode}");
        server.stop();
        let (server, addr) = start("time", mode, &[]);
        let mut stream = tcp(&addr);
        // Bytes that nobody reads must not become a reset that destroys the answer.
        let _ = stream.write_all(&[1; 1_000]);
        assert_eq!(read_to_end(&mut stream).len(), 4, "{mode}");
        server.stop();
        let (server, addr) = start("chargen", mode, &[]);
        let mut stream = tcp(&addr);
        let mut lines = vec![0; 74 * 1_000];
        stream.read_exact(&mut lines).unwrap();
        for (n, line) in lines.chunks(74).enumerate() {
            let text: Vec<u8> = (0..72).map(|column| b' ' + ((n + column) % 95) as u8).collect();
            assert_eq!(line, [&text[..], b"\r\n"].concat(), "{mode}, line {n}");
        }
        stream.write_all(&vec![7; 1 << 20]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut stream);
        server.stop();
        let (server, addr) = start("discard", mode, &[]);
        let mut stream = tcp(&addr);
        stream.write_all(&vec![7; 1 << 20]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), b"", "{mode}");
        server.stop();
    }
}

#[test]
fn a_stop_ends_a_chargen_whose_client_reads() {
    for mode in MODES {
        let (server, addr) = start("chargen", mode, &["--grace", "1h"]);
        let mut stream = tcp(&addr);
        stream.read_exact(&mut [0; 74]).unwrap();
        let reader = thread::spawn(move || read_to_end(&mut stream).len());
        server.stop();
        reader.join().unwrap();
    }
}

#[test]
fn clients_for_whom_there_is_no_worker_wait() {
    for mode in ["threads:2", "processes:2"] {
        let (server, addr) = start("echo", mode, &[]);
        let (mut one, mut two, mut three) = (tcp(&addr), tcp(&addr), tcp(&addr));
        exchange(&mut one, b"1");
        exchange(&mut two, b"2");
        three.write_all(b"3").unwrap();
        three.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(three.read(&mut [0; 1]).is_err(), "{mode}: it waits");
        drop(one);
        three.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = [0];
        three.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"3", "{mode}");
        server.stop();
    }
}

#[test]
fn the_limit_of_connections_holds_as_well() {
    for mode in MODES {
        let (server, addr) = start("echo", mode, &["--max-connections", "1"]);
        let (mut one, mut two) = (tcp(&addr), tcp(&addr));
        exchange(&mut one, b"1");
        two.write_all(b"2").unwrap();
        two.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(two.read(&mut [0; 1]).is_err(), "{mode}: it waits");
        drop(one);
        two.set_read_timeout(Some(PATIENCE)).unwrap();
        two.read_exact(&mut [0; 1]).unwrap();
        server.stop();
    }
}

#[test]
fn a_silent_client_is_closed_in_time_and_active_ones_are_spared() {
    for mode in MODES {
        let (server, addr) = start("echo", mode, &["--idle-timeout", "400ms"]);
        let (mut active, mut idle) = (tcp(&addr), tcp(&addr));
        let watcher = thread::spawn(move || assert_eq!(read_to_end(&mut idle), b""));
        for _ in 0..8 {
            exchange(&mut active, b"tick");
            // Its pace is what is tested.
            pace(Duration::from_millis(100));
        }
        watcher.join().unwrap();
        exchange(&mut active, b"still there");
        server.stop();
    }
}

#[test]
fn a_stop_answers_what_was_taken_and_leaves_nobody_waiting() {
    for mode in MODES {
        let (mut server, addr) = start("echo", mode, &["--grace", "1h"]);
        let mut idle = tcp(&addr);
        let mut spoken = tcp(&addr);
        exchange(&mut spoken, b"hello");
        let busy: Vec<_> = (0..4_u8)
            .map(|who| {
                let mut stream = tcp(&addr);
                let (message, mut answer) = ([who; 500], [0; 500]);
                exchange(&mut stream, &message);
                thread::spawn(move || {
                    let (mut sent, mut got) = (0_u64, 0_u64);
                    while stream.write_all(&message).is_ok() {
                        sent += 1;
                        match stream.read_exact(&mut answer) {
                            Ok(()) => assert_eq!(answer, message),
                            Err(_) => break,
                        }
                        got += 1;
                    }
                    // Only the message that was under way may be without its answer.
                    assert!(sent - got <= 1, "{got} of {sent} answered");
                })
            })
            .collect();
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{mode}");
        assert_eq!(read_to_end(&mut idle), b"", "{mode}: an end and no reset");
        assert_eq!(read_to_end(&mut spoken), b"", "{mode}: an end and no reset");
        for client in busy {
            client.join().unwrap();
        }
    }
}

#[test]
fn a_stop_is_bounded_by_the_drain_timeout() {
    for mode in MODES {
        let (server, addr) = start("chargen", mode, &["--grace", "300ms"]);
        let mut client = tcp(&addr);
        client.read_exact(&mut [0; 74]).unwrap();
        // It reads no more, so its server comes to wait.
        let begun = Instant::now();
        server.stop();
        assert!(begun.elapsed() < Duration::from_secs(10), "{mode}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_process_that_is_killed_costs_its_own_connection_alone() {
    for deadly in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut server = Server::of(
            bin()
                .args(["serve", "echo", "--tcp", "127.0.0.1:0", "--workers", "processes:8"])
                .stderr(Stdio::piped()),
        );
        let addr = server.tcp_addr();
        let mut doomed = tcp(&addr);
        exchange(&mut doomed, b"hello");
        let child = the_child(&server);
        let mut other = tcp(&addr);
        exchange(&mut other, b"hello");
        signal(child, deadly);
        assert!(is_over(&mut doomed), "{deadly}");
        exchange(&mut other, b"still served");
        exchange(&mut tcp(&addr), b"and so are new ones");
        let mut log = server.child.stderr.take().unwrap();
        server.stop();
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        assert!(text.contains(deadly.as_str()), "it says why: {text:?}");
    }
}

#[test]
fn a_signal_right_after_the_fork_is_not_lost_and_not_the_servers() {
    let (server, addr) = start("echo", "processes:60", &[]);
    let (mut clients, mut signalled) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        clients.push(tcp(&addr));
        // Each ends only when no stop of the server has come.
        let new = |pid: &i32| !signalled.contains(pid);
        let child = find("a new child", || children(&server).into_iter().find(new));
        signal(child, Signal::SIGTERM);
        signalled.push(child);
    }
    assert!(clients.iter_mut().all(is_over));
    until("they are waited for", || children(&server).is_empty());
    exchange(&mut tcp(&addr), b"still served");
    server.stop();
}

#[test]
fn ctrl_c_leaves_the_processes_to_the_stop_of_the_server() {
    let (server, addr) = start("echo", "processes:8", &["--idle-timeout", "1h"]);
    let mut client = tcp(&addr);
    exchange(&mut client, b"hello");
    signal(the_child(&server), Signal::SIGINT);
    exchange(&mut client, b"still served");
    exchange(&mut tcp(&addr), b"and the server serves");
    server.stop();
    assert_eq!(read_to_end(&mut client), b"");
}

#[test]
fn a_second_signal_and_a_killed_server_end_its_processes() {
    for (first, second) in [("TERM", "INT"), ("KILL", "KILL")] {
        let (mut server, addr) = start("echo", "processes:8", &["--grace", "1h"]);
        let mut client = tcp(&addr);
        exchange(&mut client, b"hello");
        let child = the_child(&server);
        // So that it does not end by itself when it is asked to.
        signal(child, Signal::SIGSTOP);
        server.signal(first);
        if first != second {
            // It is on its way to its end when nobody can connect any more.
            until("it stops", || TcpStream::connect(&addr).is_err());
            server.signal(second);
        }
        assert_ne!(server.wait().code(), Some(0));
        until("its process ends", || kill(Pid::from_raw(child), None).is_err());
    }
}

#[test]
fn a_server_with_processes_has_one_thread_however_much_it_logs() {
    let mut server = Server::of(
        bin()
            .args(["serve", "echo", "--tcp", "127.0.0.1:0", "--workers", "processes:8"])
            .env("RUST_LOG", "trace")
            .stderr(Stdio::piped()),
    );
    let addr = server.tcp_addr();
    for _ in 0..20 {
        let mut client = tcp(&addr);
        exchange(&mut client, b"hello");
        // A reset is worth a line of its own.
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    until("all are gone", || children(&server).is_empty());
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(status.contains("Threads:\t1\n"), "{status}");
    let mut log = server.child.stderr.take().unwrap();
    server.stop();
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert!(text.contains("reset") && !text.contains("hello"), "{text:?}");
}

#[test]
fn a_console_that_nobody_reads_stops_nothing() {
    let (mut full, _reader) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.write(&[b'x'; 512]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut command = bin();
    command.args(["serve", "echo", "--workers", "processes:8", "--unix"]).arg(&path);
    command.env("RUST_LOG", "trace").stdin(Stdio::null());
    command.stdout(OwnedFd::from(full.try_clone().unwrap())).stderr(OwnedFd::from(full));
    let mut child = command.spawn().unwrap();
    until("it listens", || UnixStream::connect(&path).is_ok());
    for _ in 0..20 {
        exchange(&mut unix(&path), b"hello");
    }
    signal(i32::try_from(child.id()).unwrap(), Signal::SIGTERM);
    assert_eq!(command::wait(&mut child).code(), Some(0));
}

#[test]
fn a_console_that_is_closed_or_on_a_full_disk_stops_nothing() {
    for ends in ["2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let script = format!("exec \"$0\" serve echo --unix \"$1\" --workers processes:8 {ends}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, BIN]).arg(&path).env("RUST_LOG", "trace");
        let mut server = Server::of(&mut command);
        until("it listens", || UnixStream::connect(&path).is_ok());
        for _ in 0..20 {
            exchange(&mut unix(&path), b"hello");
        }
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{ends}");
    }
}

#[test]
fn where_workers_cannot_be_the_reason_is_told() {
    let listening = ["--tcp", "127.0.0.1:0", "--workers", "threads:2"];
    for (words, why) in [
        (&["serve", "chat"][..], "one room"),
        (&["serve", "echo", "--loops", "2"], "exclude each other"),
        (&["serve", "echo", "--workers", "processes"], "processes:4"),
    ] {
        let words = if words.contains(&"--workers") {
            words.to_vec()
        } else {
            [words, &listening[..]].concat()
        };
        let (code, out, err) = run(&words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}");
        assert!(err.contains("--workers") && err.contains(why), "{words:?}: {err}");
    }
}
