//! How the command starts and ends: arguments, addresses, Unix paths, signals, and standard output
//! and error that nobody reads.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{self, BIN, Server, bin, exchange, run, tcp, unix};
use crate::read_some::ReadSome;
use crate::waits::{pace, silence, until_still};

#[test]
fn every_bad_argument_exits_with_2_and_names_the_culprit() {
    for (words, culprit) in [
        (&["serve"][..], "SERVICE"),
        (&["serve", "echo"], "--tcp"),
        (&["serve", "nonsense", "--tcp", "127.0.0.1:0"], "nonsense"),
        (&["frobnicate"], "frobnicate"),
        (&["serve", "echo", "--tcp", ""], "--tcp"),
        (&["serve", "echo", "--unix", ""], "--unix"),
        (&["serve", "echo", "--tcp", "127.0.0.1:65536"], "65536"),
        (&["serve", "echo", "--tcp", "127.0.0.1:-1"], "-1"),
        (&["serve", "echo", "--tcp", "127.0.0.1:0", "--max-connections", "-3"], "-3"),
        (
            &["serve", "echo", "--tcp", "127.0.0.1:0", "--max-connections", "4294967296"],
            "4294967296",
        ),
        (&["serve", "echo", "--tcp", "127.0.0.1:0", "--idle-timeout", "0s"], "--idle-timeout"),
        (&["serve", "echo", "--tcp", "127.0.0.1:0", "--grace", "soon"], "soon"),
        (
            &["serve", "echo", "--tcp", "127.0.0.1:0", "--high-water", "99999999999999999999"],
            "--high-water",
        ),
        (&["serve", "chat", "--tcp", "127.0.0.1:0", "--max-line", "0"], "--max-line"),
        (&["serve", "echo", "--udp", "127.0.0.1"], "127.0.0.1"),
        (&["serve", "chat", "--udp", "127.0.0.1:0"], "--udp"),
        (&["serve", "echo", "--tcp", "127.0.0.1:0", "--workers", "4"], "--workers"),
        (&["serve", "echo", "--tcp", "127.0.0.1:0", "--loops", "0"], "--loops"),
        (&["serve", "echo", "--tcp", "127.0.0.1:0", "--wrong"], "--wrong"),
    ] {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.contains(culprit) && !err.contains("panicked"), "{words:?}: {err}");
    }
    let odd = OsString::from_vec(b"\xFF\xFE".to_vec());
    let (code, _, err) = run(&[OsStr::new("serve"), OsStr::new("echo"), OsStr::new("--tcp"), &odd]);
    assert!(code == 2 && err.contains("\\xFF\\xFE"), "{err}");
}

#[test]
fn help_and_version_are_answers_and_no_errors() {
    let (code, out, err) = run(&["serve", "--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("--idle-timeout") && out.contains("Examples:"), "{out}");
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out), (0, format!("socketserver {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_port_that_is_taken_exits_with_1_and_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (code, out, err) = run(&["serve", "echo", "--tcp", &addr]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(&addr) && err.contains("in use"), "{err}");
}

#[test]
fn two_servers_never_share_a_port() {
    let mut first = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = first.tcp_addr();
    let (code, _, err) = run(&["serve", "echo", "--tcp", &addr]);
    assert_eq!(code, 1, "{err}");
    assert_eq!(exchange(&mut tcp(&addr), b"still mine"), b"still mine");
    first.stop();
}

#[test]
fn a_port_is_free_again_at_once_after_a_stop() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let mut client = tcp(&addr);
    exchange(&mut client, b"x");
    server.stop();
    let mut server = Server::start(&["echo", "--tcp", &addr]);
    assert_eq!(server.tcp_addr(), addr);
    server.stop();
}

#[test]
fn unix_paths_are_taken_only_from_the_dead() {
    let dir = tempfile::tempdir().unwrap();
    let (stale, live, file) =
        (dir.path().join("stale"), dir.path().join("live"), dir.path().join("file"));
    drop(UnixListener::bind(&stale).unwrap());
    let other = UnixListener::bind(&live).unwrap();
    fs::write(&file, "precious").unwrap();
    let words = |path| [OsStr::new("serve"), OsStr::new("echo"), OsStr::new("--unix"), path];

    for path in [&live, &file] {
        let (code, _, err) = run(&words(path.as_os_str()));
        assert!(code == 1 && err.contains(path.to_str().unwrap()), "{err}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    UnixStream::connect(&live).unwrap();
    other.accept().unwrap();

    let mut server = Server::start(&words(stale.as_os_str())[1..]);
    assert_eq!(server.line(), format!("listening unix {}", stale.display()));
    assert_eq!(exchange(&mut unix(&stale), b"reclaimed"), b"reclaimed");
    server.stop();
    assert!(!stale.exists());

    let long = dir.path().join("x".repeat(200));
    let (code, _, err) = run(&words(long.as_os_str()));
    assert!(code == 2 && err.contains("xxx") && err.contains("at most 10"), "{err}");
}

#[test]
fn a_unix_path_that_a_successor_took_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut server = Server::start(&[OsStr::new("echo"), OsStr::new("--unix"), path.as_os_str()]);
    server.line();
    fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    server.stop();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn idle_connections_do_not_delay_a_stop() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0", "--grace", "1h"]);
    let addr = server.tcp_addr();
    let clients: Vec<TcpStream> = (0..100)
        .map(|n| {
            let mut client = tcp(&addr);
            if n % 2 == 0 {
                exchange(&mut client, b"spoken");
            }
            client
        })
        .collect();
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for mut client in clients {
        assert_eq!(client.read_some(&mut [0; 8]).unwrap(), 0, "an end and no reset");
    }
}

#[test]
fn a_signal_right_after_the_listening_line_is_not_missed() {
    for _ in 0..20 {
        let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
        server.tcp_addr();
        server.stop();
    }
}

#[test]
fn a_stop_under_load_answers_what_was_taken() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..20_u8)
        .map(|who| {
            let answered = Arc::clone(&answered);
            let mut stream = tcp(&addr);
            thread::spawn(move || {
                let (mut sent, mut got) = (0_u64, 0_u64);
                let message = [who; 500];
                let mut answer = [0; 500];
                loop {
                    if stream.write_all(&message).is_err() {
                        return (sent, got);
                    }
                    sent += 1;
                    match stream.read_exact(&mut answer) {
                        Ok(()) => assert_eq!(answer, message),
                        // Only the message that was under way may be without its answer.
                        Err(_) => return (sent, got),
                    }
                    got += 1;
                    answered.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    crate::waits::until("load", || answered.load(Ordering::Acquire) >= 2_000);
    server.stop();
    for client in clients {
        let (sent, got) = client.join().unwrap();
        assert!(sent - got <= 1, "{got} of {sent} answered");
    }
}

#[test]
fn a_stop_is_bounded_by_the_drain_timeout_and_a_second_signal_ends_it_at_once() {
    let stuck = |drain: &str| {
        let mut server = Server::start(&["chargen", "--tcp", "127.0.0.1:0", "--grace", drain]);
        let client = tcp(&server.tcp_addr());
        // Its buffers are full when it does nothing any more, which is silence for a while.
        until_still(Duration::from_millis(100), || server.cpu());
        (server, client)
    };
    let (server, _client) = stuck("500ms");
    let begun = Instant::now();
    server.stop();
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");

    let (mut server, _client) = stuck("1h");
    server.signal("TERM");
    // That it does not end is silence, for a while.
    silence(Duration::from_millis(100));
    assert!(server.child.try_wait().unwrap().is_none(), "it drains");
    server.signal("INT");
    let begun = Instant::now();
    let status = server.wait();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(status.code(), Some(130));
}

#[test]
fn nobody_new_is_served_during_a_stop() {
    let mut server = Server::start(&["chargen", "--tcp", "127.0.0.1:0", "--grace", "1h"]);
    let addr = server.tcp_addr();
    let mut stuck = tcp(&addr);
    stuck.read_exact(&mut [0; 10]).unwrap();
    server.signal("TERM");
    crate::waits::until("a client that is refused", || {
        TcpStream::connect(&addr).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

#[test]
fn a_closed_standard_output_stops_nothing() {
    let port = command::free_addr().to_string();
    for closed in [">&- 2>&-", "> /dev/full 2> /dev/full"] {
        let script = format!("exec \"$0\" serve echo --tcp {port} {closed}");
        let mut child = Command::new("sh").args(["-c", &script, BIN]).spawn().unwrap();
        let mut client = command::connect_soon(&port);
        assert_eq!(exchange(&mut client, b"fine"), b"fine");
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert_eq!(command::wait(&mut child).code(), Some(0));
    }
}

#[test]
fn a_full_pipe_that_nobody_reads_stops_nothing() {
    let port = command::free_addr().to_string();
    let mut child = bin()
        .args(["serve", "echo", "--tcp", &port])
        // Every connection makes lines, and nobody reads either pipe.
        .env("RUST_LOG", "debug")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(command::connect_soon(&port));
    for _ in 0..3_000 {
        let client = TcpStream::connect(&port)
            .unwrap_or_else(|error| panic!("{error}; it ended: {:?}", child.try_wait()));
        // A reset is worth a line of its own.
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(exchange(&mut tcp(&port), b"fine"), b"fine");
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(command::wait(&mut child).code(), Some(0));
}

#[test]
fn an_idle_client_is_closed_in_time_and_active_ones_are_spared() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0", "--idle-timeout", "400ms"]);
    let addr = server.tcp_addr();
    let mut active = tcp(&addr);
    let mut idle = tcp(&addr);
    let begun = Instant::now();
    let watcher = thread::spawn(move || {
        assert_eq!(idle.read_some(&mut [0; 8]).unwrap(), 0);
        begun.elapsed()
    });
    for _ in 0..12 {
        assert_eq!(exchange(&mut active, b"tick"), b"tick");
        // Its pace is what is tested.
        pace(Duration::from_millis(100));
    }
    let after = watcher.join().unwrap();
    assert!(
        after > Duration::from_millis(390) && after < Duration::from_millis(1_100),
        "{after:?}"
    );
    server.stop();
}

#[test]
fn clients_above_the_limit_wait_and_those_connected_are_unaffected() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0", "--max-connections", "2"]);
    let addr = server.tcp_addr();
    let (mut one, mut two, mut three) = (tcp(&addr), tcp(&addr), tcp(&addr));
    exchange(&mut one, b"1");
    exchange(&mut two, b"2");
    three.write_all(b"3").unwrap();
    three.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(three.read(&mut [0; 1]).is_err(), "it waits");
    exchange(&mut one, b"still served");
    one.shutdown(Shutdown::Both).unwrap();
    three.set_read_timeout(Some(crate::waits::PATIENCE)).unwrap();
    let mut answer = [0];
    three.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"3");
    server.stop();
}

#[test]
fn without_descriptors_it_neither_spins_nor_floods_and_recovers() {
    let mut server = Server::start_in_shell("ulimit -n 40", &["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let mut clients: Vec<TcpStream> = (0..60).map(|_| tcp(&addr)).collect();
    exchange(&mut clients[0], b"the first is served");
    let before = server.cpu();
    // What it costs to do nothing is measured.
    silence(Duration::from_secs(1));
    let spent = server.cpu().saturating_sub(before);
    assert!(spent < Duration::from_millis(200), "{spent:?} of CPU in a second");
    exchange(&mut clients[1], b"still served");
    // Room comes, and those who wait are served without a new client.
    let waiting = clients.split_off(30);
    drop(clients);
    for (n, mut client) in waiting.into_iter().enumerate() {
        let word = format!("served after all {n}");
        assert_eq!(exchange(&mut client, word.as_bytes()), word.as_bytes());
    }
    let mut log = server.child.stderr.take().unwrap();
    server.stop();
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert!(text.contains("cannot accept") && text.len() < 64 << 10, "{} bytes", text.len());
}

#[test]
fn an_idle_server_holds_few_descriptors_one_thread_and_uses_no_cpu() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    exchange(&mut tcp(&server.tcp_addr()), b"x");
    let mut own = 0;
    for fd in fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().map(|fd| fd.unwrap()) {
        // Sockets, the poll and its waker are its own; files may be inherited from whoever runs us.
        let what = fs::read_link(fd.path()).unwrap_or_default().display().to_string();
        if what.starts_with("socket:") || what.starts_with("anon_inode:") {
            own += 1;
            let info =
                format!("/proc/{}/fdinfo/{}", server.pid(), fd.file_name().to_string_lossy());
            let info = fs::read_to_string(info).unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap();
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            assert!(flags & 0o2_000_000 != 0, "{what} is not closed on exec");
        }
    }
    // The poll, its waker, the listener, and what signals are caught with.
    assert!((3..=8).contains(&own), "{own} descriptors");
    // What it used at its start may be counted late; who wakes again and again never rests.
    until_still(Duration::from_millis(500), || server.cpu());
    server.stop();
}

#[test]
fn stopped_and_continued_it_goes_on_as_if_nothing_had_happened() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let mut client = tcp(&server.tcp_addr());
    exchange(&mut client, b"before");
    server.signal("STOP");
    client.write_all(b"meanwhile").unwrap();
    server.signal("CONT");
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"meanwhile");
    server.stop();
}
