//! The built command, and the library, where the system gives little: few descriptors, little
//! memory, tiny buffers of sockets, and no time at all (SIGSTOP). `FAULTS=all` tries every limit of
//! descriptors.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socketserver::{Addr, Echo, Options};

use crate::accounts;
use crate::accounts::Accounts;
use crate::command::{self, BIN, Server, exchange, tcp};
use crate::read_some::ReadSome;
use crate::waits::{PATIENCE, delay, pace};

/// `serve` in a shell that has set a limit; what it says about itself can be read at its end.
fn start_limited(limit: &str, words: &[&str]) -> Server {
    let script = format!("{limit}; exec \"$0\" serve \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, BIN]).args(words);
    command.env("RUST_LOG", accounts::LOG).env_remove("RUST_BACKTRACE").stderr(Stdio::piped());
    Server::of(&mut command)
}

fn log_of(mut server: Server) -> (Option<i32>, String) {
    let status = server.wait();
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (status.code(), log)
}

fn is_open(server: &Server, descriptor: usize) -> bool {
    fs::symlink_metadata(format!("/proc/{}/fd/{descriptor}", server.pid())).is_ok()
}

#[test]
#[cfg(target_os = "linux")]
fn with_any_number_of_descriptors_it_serves_or_says_why_not() {
    let step = if env::var_os("FAULTS").is_some_and(|wanted| wanted == "all") { 1 } else { 3 };
    let modes: [&[&str]; 4] =
        [&[], &["--loops", "2"], &["--workers", "threads:4"], &["--workers", "processes:4"]];
    for mode in modes {
        let (mut refused, mut answered) = (0, 0);
        for limit in (4..=26).step_by(step) {
            let words = [&["echo", "--tcp", "127.0.0.1:0"], mode].concat();
            let mut server = start_limited(&format!("ulimit -n {limit}"), &words);
            let line = server.line();
            let Some(addr) = line.strip_prefix("listening tcp ").map(str::to_string) else {
                let (code, log) = log_of(server);
                let complaints = log.lines().filter(|line| line.starts_with("error: ")).count();
                assert!(code == Some(1) && complaints == 1, "{limit} {mode:?}: {code:?} {log}");
                refused += 1;
                continue;
            };
            let free = (0..limit).filter(|fd| !is_open(&server, *fd)).count();
            let clients: Vec<TcpStream> = (0..limit).map(|_| tcp(&addr)).collect();
            drop(clients);
            // A process for a client needs both ends of a pipe besides, and a look into /proc. What
            // others still have is taken from a client that was accepted: then it is closed.
            let (needs, tries) = if mode.contains(&"processes:4") { (4, 100) } else { (1, 1) };
            if free >= needs {
                assert!((0..tries).any(|_| is_answered(&addr)), "{limit} {mode:?}");
                answered += 1;
            }
            server.signal("TERM");
            let (code, log) = log_of(server);
            assert!(
                code == Some(0) && !log.contains("panicked"),
                "{limit} {mode:?}: {code:?} {log}"
            );
            assert!(log.len() < 8 << 10, "{limit} {mode:?}: {} bytes of log", log.len());
        }
        println!("{mode:?}: {refused} limits refused at the start, {answered} served");
        assert!(refused > 0 && answered > 0, "{mode:?}: {refused} refused, {answered} served");
    }
}

fn is_answered(addr: &str) -> bool {
    let (mut stream, mut answer) = (tcp(addr), [0; 5]);
    stream.write_all(b"after").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"after"
}

/// The most that this server may hold for its clients: what waits above high water is never more
/// than one read.
const GREEDY: u64 = 40;
const EACH: u64 = (64 << 10) + (256 << 10);

#[test]
#[cfg(target_os = "linux")]
fn greedy_clients_cannot_use_up_a_small_memory() {
    // KiB: the program and its stacks, what belongs to the loop, and twice its bound for each
    // client, since an allocator gives more than it is asked for.
    let limit = 24_000 + 8_000 + 2 * GREEDY * EACH / 1_024;
    let words = ["echo", "--tcp", "127.0.0.1:0", "--max-connections", "41"];
    let mut server = start_limited(&format!("ulimit -v {limit}"), &words);
    let addr = server.tcp_addr();
    let mut modest = tcp(&addr);
    let stuffed = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..GREEDY).map(|_| scope.spawn(|| greedy(&addr, &stuffed))).collect();
        for _ in 0..50 {
            assert_eq!(exchange(&mut modest, b"still served"), b"still served");
            pace(Duration::from_millis(10));
        }
        stuffed.store(true, Ordering::Release);
        for client in clients {
            client.join().unwrap();
        }
    });
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    println!(
        "limit {limit} KiB, most mapped {} KiB, most used {} KiB",
        field("VmPeak"),
        field("VmHWM")
    );
    server.signal("TERM");
    let (code, log) = log_of(server);
    assert!(code == Some(0), "{code:?}: {log}");
    let accounts = Accounts::of_log(&log).unwrap();
    assert_eq!((accounts.imbalance(), accounts.of("bytes_dropped")), (None, 0));
}

/// Sends much before it reads anything, and then wants all of it back.
fn greedy(addr: &str, stuffed: &AtomicBool) {
    const SIZE: usize = 3 << 20;
    let mut stream = tcp(addr);
    let socket = socket2::SockRef::from(&stream);
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.set_send_buffer_size(16 << 10).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&vec![b'g'; SIZE]));
    crate::waits::until("all are stuffed", || stuffed.load(Ordering::Acquire));
    let (mut got, mut buffer) = (0, vec![0; 64 << 10]);
    while got < SIZE {
        let n = stream.read_some(&mut buffer).unwrap();
        assert!(n > 0 && buffer.iter().take(n).all(|byte| *byte == b'g'), "{got} bytes came back");
        got += n;
    }
    writing.join().unwrap().unwrap();
}

/// What Rust's runtime says when there is no memory for the stack of its signal handler, before `main`.
#[cfg(target_os = "linux")]
fn is_of_runtime(log: &str) -> bool {
    log.contains("fatal runtime error: initialization or cleanup bug")
}

#[test]
#[cfg(target_os = "linux")]
fn with_too_little_memory_to_start_it_never_listens() {
    // Where Rust cannot allocate it aborts: it can be said only that this comes before any client.
    let mut ends = Vec::new();
    for limit in [10_000, 12_000, 13_000, 14_000] {
        let mut server =
            start_limited(&format!("ulimit -v {limit}"), &["echo", "--tcp", "127.0.0.1:0"]);
        let line = server.line();
        if let Some(addr) = line.strip_prefix("listening tcp ") {
            assert_eq!(exchange(&mut tcp(addr), b"enough"), b"enough");
            server.stop();
            break;
        }
        let (code, log) = log_of(server);
        assert!(
            code != Some(0)
                && code != Some(101)
                && (!log.contains("panicked") || is_of_runtime(&log)),
            "{code:?}: {log}"
        );
        ends.push((limit, code));
    }
    println!("KiB, and the exit code: {ends:?}");
}

fn send(server: &Server, signal: Signal) {
    kill(Pid::from_raw(server.pid().try_into().unwrap()), signal).unwrap();
}

/// Sends messages and takes them back until it is over; says how many bytes came back.
fn echo_until(over: &AtomicBool, addr: &str, who: u8) -> u64 {
    let (mut stream, mut echoed) = (tcp(addr), 0);
    let message: Vec<u8> = (0..20_000_u32).map(|at| who ^ at as u8).collect();
    while !over.load(Ordering::Acquire) {
        assert!(exchange(&mut stream, &message) == message, "other bytes");
        echoed += message.len() as u64;
    }
    echoed
}

#[test]
fn being_stopped_and_continued_under_load_changes_nothing() {
    for mode in [&[][..], &["--loops", "2"], &["--workers", "threads:4"]] {
        let words = [&["echo", "--tcp", "127.0.0.1:0"], mode].concat();
        let mut server = start_limited(":", &words);
        let addr = server.tcp_addr();
        let over = AtomicBool::new(false);
        let echoed: u64 = thread::scope(|scope| {
            let (addr, over) = (&addr, &over);
            let clients: Vec<_> =
                (0..4_u8).map(|who| scope.spawn(move || echo_until(over, addr, who))).collect();
            for pause in 1..=20 {
                pace(Duration::from_millis(3));
                send(&server, Signal::SIGSTOP);
                pace(Duration::from_millis(pause));
                send(&server, Signal::SIGCONT);
            }
            over.store(true, Ordering::Release);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        // A stop does not forget what it was doing either.
        send(&server, Signal::SIGTERM);
        send(&server, Signal::SIGSTOP);
        send(&server, Signal::SIGCONT);
        let (code, log) = log_of(server);
        assert_eq!(code, Some(0), "{log}");
        let accounts = Accounts::of_log(&log).unwrap();
        assert_eq!(accounts.imbalance(), None);
        if !mode.contains(&"--workers") {
            assert_eq!((accounts.of("bytes_in"), accounts.of("bytes_out")), (echoed, echoed));
        }
    }
}

#[test]
fn who_spoke_while_the_server_was_stopped_is_not_idle() {
    let words = ["echo", "--tcp", "127.0.0.1:0", "--idle-timeout", "300ms"];
    let mut server = start_limited(":", &words);
    let mut client = tcp(&server.tcp_addr());
    exchange(&mut client, b"before");
    send(&server, Signal::SIGSTOP);
    client.write_all(b"meanwhile").unwrap();
    // It stands still for longer than its idle timeout.
    delay(Duration::from_millis(600));
    send(&server, Signal::SIGCONT);
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"meanwhile");
    server.stop();
}

#[test]
fn the_smallest_buffers_lose_no_byte() {
    let small = Some(1);
    let options = Options { send_buffer: small, receive_buffer: small, ..Options::default() };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut server = socketserver::Server::with_shared((), options).unwrap();
    let listener = server.listen("127.0.0.1:0", |_: &Addr| Echo).unwrap();
    let addr = server.io().local_addr(listener).unwrap().to_string();
    server.listen(path.as_path(), |_: &Addr| Echo).unwrap();
    let handle = server.handle();
    let clients = thread::spawn(move || {
        let stream = tcp(&addr);
        let socket = socket2::SockRef::from(&stream);
        socket.set_recv_buffer_size(1).unwrap();
        socket.set_send_buffer_size(1).unwrap();
        let writer = stream.try_clone().unwrap();
        through_a_needle(stream, writer, TCP_BYTES);
        let stream = command::unix(&path);
        let writer = stream.try_clone().unwrap();
        through_a_needle(stream, writer, UNIX_BYTES);
        handle.shutdown(PATIENCE);
    });
    server.serve_forever().unwrap();
    clients.join().unwrap();
    let stats = *server.io().stats();
    let all = TCP_BYTES + UNIX_BYTES;
    assert_eq!((stats.bytes_in, stats.bytes_out), (all, all), "{stats:?}");
    assert_eq!((stats.live(), stats.bytes_dropped), (0, 0), "{stats:?}");
}

/// Little, because TCP waits a fifth of a second where a window is too small for anything sensible.
const TCP_BYTES: u64 = 6_000;
const UNIX_BYTES: u64 = 200_000;

fn through_a_needle(mut reader: impl Read, mut writer: impl Write + Send + 'static, n: u64) {
    let sent: Vec<u8> = (0..n).map(|at| (at % 249) as u8).collect();
    let bytes = sent.clone();
    let writing = thread::spawn(move || -> io::Result<()> { writer.write_all(&bytes) });
    let end = Instant::now() + PATIENCE;
    let (mut got, mut buffer) = (Vec::new(), [0_u8; 1_000]);
    while got.len() < sent.len() {
        let n = reader.read_some(&mut buffer).unwrap();
        assert!(n > 0 && Instant::now() < end, "{} bytes came back", got.len());
        got.extend_from_slice(buffer.get(..n).unwrap_or_default());
    }
    assert!(got == sent, "other bytes came back than were sent");
    writing.join().unwrap().unwrap();
}
