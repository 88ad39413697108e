//! Signals that come twice or to a whole group, files that may become no longer, descriptors and processes that are
//! short, and an environment that means harm.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::command::{self, BIN, Server, bin, exchange, has, read_to_end, tcp};
use crate::waits::{PATIENCE, find, silence, until, until_still};

fn pid(server: &Server) -> Pid {
    Pid::from_raw(i32::try_from(server.pid()).unwrap())
}

/// A mask of signals of a process (proc(5)).
fn mask(pid: Pid, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

/// What the server said on standard error, once it has ended.
fn said(server: &mut Server) -> String {
    let mut text = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Sends SIGTERM twice, the second once the first has come; `None` where that took so long that they are two.
fn terminate_twice(server: &mut Server) -> Option<i32> {
    let (pid, sigterm) = (pid(server), 1 << (Signal::SIGTERM as i32 - 1));
    let begun = Instant::now();
    kill(pid, Signal::SIGTERM).unwrap();
    while mask(pid, "ShdPnd:") & sigterm != 0 {}
    kill(pid, Signal::SIGTERM).unwrap();
    let in_time = begun.elapsed() < Duration::from_millis(50);
    let code = server.wait().code();
    in_time.then(|| code.unwrap_or(-1))
}

/// As timeout(1) sends it, to its child and to the group.
#[test]
fn the_same_signal_twice_at_once_is_one() {
    let code = find("two signals in a short time", || {
        let mut server = Server::start(&["chargen", "--tcp", "127.0.0.1:0", "--grace", "300ms"]);
        let mut client = tcp(&server.tcp_addr());
        client.read_exact(&mut [0; 74]).unwrap();
        terminate_twice(&mut server)
    });
    assert_eq!(code, 0);
}

#[test]
fn a_second_signal_later_exits_with_its_number() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut server = Server::start(&["chargen", "--tcp", "127.0.0.1:0", "--grace", "1h"]);
        let mut client = tcp(&server.tcp_addr());
        client.read_exact(&mut [0; 74]).unwrap();
        server.signal(signal);
        // Within a tenth of a second it would be the same one.
        silence(Duration::from_millis(150));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(code));
    }
}

/// What a stop says that was over before a client had read, and what that client reads and how it ends.
fn cut_off(workers: &[&str]) -> (String, usize, Result<usize, ErrorKind>) {
    let words = [&["chargen", "--tcp", "127.0.0.1:0", "--grace", "300ms"], workers].concat();
    let mut server = Server::of(bin().arg("serve").args(words).stderr(Stdio::piped()));
    let mut client = tcp(&server.tcp_addr());
    // Its buffers are full when nothing more comes.
    let mut all = vec![0; 8 << 20];
    until_still(Duration::from_millis(200), || client.peek(&mut all).unwrap());
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let mut part = Vec::new();
    let end = client.read_to_end(&mut part).map_err(|error| error.kind());
    (said(&mut server), part.len(), end)
}

#[test]
fn a_stop_says_whom_it_cut_off_and_that_one_gets_no_clean_end() {
    let processes = &["--workers", "processes:2"];
    for workers in [&[][..], &["--loops", "2"], &["--workers", "threads:2"], processes] {
        // The system may have had room for the last piece after all.
        let (said, part, end) = find("a client that was cut off", || {
            let (said, part, end) = cut_off(workers);
            (!said.is_empty()).then_some((said, part, end))
        });
        assert!(said.contains("clients were cut off: 1;"), "{workers:?} {said:?}");
        assert_eq!((end, part == 0), (Err(ErrorKind::ConnectionReset), false), "{workers:?}");
    }
}

/// As systemd and timeout(1) send it: the processes of clients finish what they have, as they do when only the
/// server gets it.
#[test]
fn a_signal_to_the_whole_group_loses_no_answer() {
    for whole_group in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut command = bin();
        command.args(["serve", "echo", "--workers", "processes:4", "--grace", "1h", "--unix"]);
        let mut server = Server::of(command.arg(&path).process_group(0).stderr(Stdio::null()));
        server.line();
        let mut client = UnixStream::connect(&path).unwrap();
        // It reads nothing, so its process comes to wait in the middle of an answer.
        client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut sent = 0;
        while let Ok(n) = client.write(&[7; 10_000]) {
            sent += n;
        }
        if whole_group {
            killpg(pid(&server), Signal::SIGTERM).unwrap();
        } else {
            server.signal("TERM");
        }
        // That it waits on is what is tested: a process that ended at once would have ended by then.
        silence(Duration::from_millis(100));
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(read_to_end(&mut client).len(), sent, "to the whole group: {whole_group}");
        drop(client);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_file_that_may_become_no_longer_ends_no_server() {
    for workers in [&[][..], &["--loops", "2"], &["--workers", "processes:2"]] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script = "ulimit -f 1; exec \"$0\" serve echo --tcp 127.0.0.1:0 \"$@\" 2>\"$LOG\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, BIN]).args(workers).env("LOG", &log).env("RUST_LOG", "trace");
        let mut server = Server::of(&mut command);
        let addr = server.tcp_addr();
        until("a log as long as it may be", || {
            exchange(&mut tcp(&addr), b"hello");
            fs::metadata(&log).is_ok_and(|log| log.len() >= 512)
        });
        for _ in 0..10 {
            exchange(&mut tcp(&addr), b"still served");
        }
        server.stop();
    }
}

/// With each number of descriptors from hardly any to enough: the error says what could not be opened.
#[test]
fn an_error_at_the_start_names_what_it_is_about() {
    for workers in
        [&[][..], &["--loops", "2"], &["--workers", "threads:2"], &["--workers", "processes:2"]]
    {
        let mut seen = 0;
        for descriptors in 3..40 {
            let script =
                "ulimit -n $N; exec \"$0\" serve echo --tcp 127.0.0.1:0 --udp 127.0.0.1:0 \"$@\"";
            let mut command = Command::new("sh");
            command.args(["-c", script, BIN]).args(workers).env("N", descriptors.to_string());
            let mut server = Server::of(command.stderr(Stdio::piped()));
            if server.line().starts_with("listening") {
                break;
            }
            server.wait();
            let said = said(&mut server);
            // Others are of the loader.
            for line in said.lines().filter_map(|line| line.strip_prefix("error: ")) {
                assert!(line.contains(": "), "{descriptors} descriptors: {line}");
                seen += 1;
            }
        }
        assert!(seen > 0, "{workers:?}");
    }
}

#[test]
fn whatever_the_time_zone_is_named_the_time_of_day_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    let hostile =
        ["/dev/zero", ":/dev/zero", pipe, "/proc/kmsg", "../../../dev/zero", "\u{1}", "/"];
    for name in ["TZ", "TZDIR"] {
        for value in hostile {
            let mut command = bin();
            command.args(["serve", "daytime", "--tcp", "127.0.0.1:0"]).env(name, value);
            if name == "TZDIR" {
                command.env("TZ", "zero");
            }
            let mut server = Server::of(command.stderr(Stdio::null()));
            let line = read_to_end(&mut tcp(&server.tcp_addr()));
            let line = String::from_utf8(line).unwrap();
            assert!(line.contains(':') && line.ends_with("UTC\r\n"), "{name}={value}: {line:?}");
            server.stop();
        }
    }
}

/// An unprivileged user, whose processes have a limit; that of root is none.
const NOBODY: u32 = 65_534;

/// A server that may have some processes and threads more than it has now, or `None` where that cannot be.
fn short_of_processes(mode: &str) -> Option<(Server, String)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: only root starts programs for another user");
        return None;
    }
    if !has("prlimit") {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("socketserver");
    fs::copy(BIN, &program).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("prlimit");
    command.arg("--nproc=6").arg(&program).args(["serve", "echo", "--tcp", "127.0.0.1:0"]);
    command.args(["--workers", mode]).uid(NOBODY).gid(NOBODY);
    let mut server = Server::of(command.stderr(Stdio::piped()));
    let line = server.line();
    let Some(addr) = line.strip_prefix("listening tcp ").map(String::from) else {
        println!("skipped: that user cannot run it: {line:?}");
        return None;
    };
    Some((server, addr))
}

/// More clients than there can be processes: the others wait, and the log says for what.
#[test]
fn clients_for_whom_no_process_can_be_had_wait() {
    for mode in ["threads:12", "processes:12"] {
        let Some((mut server, addr)) = short_of_processes(mode) else { return };
        let mut clients: Vec<TcpStream> = (0..12).map(|_| tcp(&addr)).collect();
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
        }
        // Those that are served make room for the others when they end.
        while !clients.is_empty() {
            let mut left = Vec::new();
            for mut client in clients {
                client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                match client.read(&mut [0; 5]) {
                    Ok(n) => assert_eq!(n, 5, "{mode}: it was sent away"),
                    Err(_) => left.push(client),
                }
            }
            clients = left;
        }
        server.signal("TERM");
        assert_eq!(command::wait(&mut server.child).code(), Some(0));
        let said = said(&mut server);
        if mode.starts_with("processes") {
            assert!(said.contains("client waits: Resource temporarily unavailable"), "{said}");
        }
    }
}
