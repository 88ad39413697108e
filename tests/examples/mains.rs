//! What every example does as a program, whatever its protocol: it starts although nobody reads its
//! first line, takes arguments that are no text for what they are, and keeps to what surrounds it.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use crate::command;
use crate::program;
use crate::program::path;
use crate::read_some::ReadSome;
use crate::waits::{PATIENCE, find};

/// How each of them is started with an address, and whether it stops in good order at signals.
const SERVERS: &[(&str, &[&str], bool)] = &[
    ("chat", &["ADDR"], false),
    ("chat_cluster", &["ADDR", "127.0.0.1:1"], true),
    ("echo", &["ADDR"], false),
    ("files", &["serve", "DIR", "ADDR"], true),
    ("hello", &["ADDR"], false),
    ("http", &["ADDR"], true),
    ("kv", &["ADDR"], true),
    ("modes", &["ADDR", "threads"], false),
    ("proxy", &["ADDR", "127.0.0.1:1"], false),
    ("socks5", &["ADDR"], true),
    ("websocket", &["ADDR"], true),
];

/// Killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn wait(&mut self) -> Option<i32> {
        find("its end", || self.0.try_wait().unwrap()).code()
    }

    /// Waits until it has served a client, which comes behind its first line and its handlers.
    fn serves<S: Read>(&mut self, what: &str, connect: impl Fn() -> io::Result<S>) {
        let mut stream = find(what, || {
            let ended = self.0.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it ended: {ended:?}");
            connect().ok()
        });
        // How it ends is a matter of its protocol.
        let _ = stream.read_to_end(&mut Vec::new());
    }

    fn serves_at(&mut self, path: &Path, what: &str) {
        self.serves(what, || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.shutdown(Shutdown::Write)?;
            Ok(stream)
        });
    }

    fn serves_on(&mut self, addr: &str, what: &str) {
        self.serves(what, || {
            let stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.shutdown(Shutdown::Write)?;
            Ok(stream)
        });
    }
}

/// The words that start an example at this address.
fn words(words: &[&str], dir: &Path, addr: &OsStr) -> Vec<std::ffi::OsString> {
    let word = |word: &&str| match *word {
        "ADDR" => addr.to_owned(),
        "DIR" => dir.as_os_str().to_owned(),
        other => other.into(),
    };
    words.iter().map(word).collect()
}

/// A directory, a path in it, and that path as an address.
fn place() -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let addr = format!("unix:{}", socket.display());
    (dir, socket, addr)
}

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn closed() -> Stdio {
    OwnedFd::from(UnixStream::pair().unwrap().1).into()
}

/// Every program is in the table.
#[test]
fn no_example_is_left_out() {
    let mut all: Vec<String> = fs::read_dir("examples")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    all.sort();
    let named: Vec<&str> = SERVERS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(all, named);
}

#[test]
fn a_first_line_that_nobody_reads_stops_nothing() {
    for (name, typed, _) in SERVERS {
        for (how, out, err) in [("full", full(), full()), ("closed", closed(), closed())] {
            let dir = tempfile::tempdir().unwrap();
            let addr = command::free_addr().to_string();
            let mut command = Command::new(path(name));
            command.args(words(typed, dir.path(), addr.as_ref())).stdin(Stdio::null());
            let mut child = Running(command.stdout(out).stderr(err).spawn().unwrap());
            child.serves_on(&addr, &format!("{name}, {how}"));
            child.serves_on(&addr, &format!("{name}, {how}"));
        }
    }
}

#[test]
fn arguments_that_are_no_text_are_no_panic_wherever_they_stand() {
    let odd = OsStr::from_bytes(b"\xFF\xFE");
    for (name, typed, _) in SERVERS {
        for nth in 0..=typed.len() {
            for err in [Stdio::piped(), full(), closed()] {
                let (dir, _, addr) = place();
                let mut words = words(typed, dir.path(), addr.as_ref());
                words.truncate(nth);
                words.push(odd.to_owned());
                words.extend(typed.iter().skip(nth + 1).map(Into::into));
                let mut command = Command::new(path(name));
                command.args(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(err);
                let mut child = Running(command.spawn().unwrap());
                let code = child.wait();
                assert!(matches!(code, Some(1 | 2)), "{name} {words:?}: {code:?}");
            }
        }
    }
}

/// Its exit code, and what it said on standard output and on standard error.
fn said<S: AsRef<OsStr>>(name: &str, words: &[S]) -> (Option<i32>, String, String) {
    let output = program::run(program::command(name).args(words));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn each_tells_its_usage_to_whoever_asks_for_it() {
    for (name, typed, _) in SERVERS {
        for words in [&["--help"][..], &["-h"], &[typed, &["--help"][..]].concat()] {
            let (code, out, err) = said(name, words);
            assert_eq!((code, err.as_str()), (Some(0), ""), "{name} {words:?}");
            assert!(out.starts_with(&format!("usage: {name} ")), "{name}: {out}");
        }
    }
}

const ANY: &str = "127.0.0.1:0";

/// An example, words that it does not take, and what its message must name. The working directory is that of the package.
const TYPED_WRONGLY: &[(&str, &[&str], &str)] = &[
    ("chat", &["x"], "a port is missing"),
    ("chat", &[ANY, "more"], "more"),
    ("echo", &["x"], "a port is missing"),
    ("echo", &[ANY, "more"], "more"),
    ("hello", &["127.0.0.1:99999"], "the port"),
    ("modes", &["x"], "a port is missing"),
    ("modes", &[ANY, "fibres"], "fibres"),
    ("modes", &[ANY, "threads", "more"], "more"),
    ("kv", &["x"], "a port is missing"),
    ("kv", &[ANY, "many"], "many"),
    ("kv", &[ANY, "0"], "0 bytes"),
    ("kv", &[ANY, "1", "2", "more"], "more"),
    ("proxy", &[ANY], "UPSTREAM_ADDR"),
    ("proxy", &[ANY, "x"], "a port is missing"),
    ("proxy", &[ANY, "127.0.0.1:1", "more"], "more"),
    ("chat_cluster", &[ANY, "x"], "a port is missing"),
    ("socks5", &["x"], "a port is missing"),
    ("socks5", &["--max-clients", "0", ANY], "--max-clients"),
    ("socks5", &["--idle-timeout", "0", ANY], "--idle-timeout"),
    ("http", &[], "ADDR is missing"),
    ("http", &["x"], "a port is missing"),
    ("http", &[ANY, "more"], "more"),
    ("http", &[ANY, "--bogus"], "unknown option \"--bogus\""),
    ("http", &[ANY, "--files"], "--files needs a value"),
    ("http", &[ANY, "--files", "nosuch"], "No such file"),
    ("http", &["--files", "Cargo.toml", ANY], "Not a directory"),
    ("http", &[ANY, "--head-timeout", "0"], "--head-timeout"),
    ("http", &[ANY, "--idle-timeout", "0"], "--idle-timeout"),
    ("http", &[ANY, "--idle-timeout", "-1"], "--idle-timeout"),
    ("http", &[ANY, "--body-limit", "much"], "--body-limit"),
    ("websocket", &[ANY, "--bogus"], "unknown option \"--bogus\""),
    ("websocket", &[ANY, "--handshake-timeout", "0"], "--handshake-timeout"),
    ("websocket", &["--ping-every", "0", ANY], "--ping-every"),
    ("files", &["nonsense"], "serve DIR"),
    ("files", &["get", "Cargo.toml", ANY], "get"),
    ("files", &["put", "/dev/zero", ANY], "not a regular file"),
    ("files", &["put", "/dev/stdin", ANY], "not a regular file"),
    ("files", &["put", "Cargo.toml", ANY, "--as", "a\nb"], "invisible"),
    ("files", &["put", "Cargo.toml", ANY, "--as", "a:b"], "has one of"),
];

/// With each of them, what is wrong is one line that names the culprit, and the exit code is 2.
#[test]
fn what_was_typed_wrongly_is_told_in_one_line() {
    let long = "a".repeat(181);
    let long: &[_] = &["put", "Cargo.toml", ANY, "--as", &long];
    let more = [("files", long, "at most 180")];
    for (name, words, culprit) in TYPED_WRONGLY.iter().chain(&more) {
        let (code, out, err) = said(name, words);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{name} {words:?}: {err}");
        assert!(err.starts_with(&format!("{name}: ")), "{name} {words:?}: {err}");
        assert!(err.contains(culprit) && err.contains("--help"), "{name} {words:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{name} {words:?}: {err}");
    }
}

fn first_line(child: &mut Running) -> String {
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    let (sender, lines) = channel();
    // By a thread of its own, since one that says nothing must not hold up the test.
    thread::spawn(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let _ = sender.send(line);
    });
    let line = lines.recv_timeout(PATIENCE).expect("it says nothing");
    line.trim_end().to_string()
}

/// Two paths that are no text must not look the same.
#[test]
fn a_path_that_is_no_text_is_told_with_each_of_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(OsStr::from_bytes(b"\xFF/x"));
    let odd = odd.as_os_str();
    let addr = [b"unix:", odd.as_bytes()].concat();
    let addr = OsStr::from_bytes(&addr);
    let word = OsStr::new;
    for (name, words) in [
        ("chat", vec![addr]),
        ("hello", vec![addr]),
        ("http", vec![addr]),
        ("kv", vec![addr]),
        ("modes", vec![addr]),
        ("proxy", vec![addr, word("127.0.0.1:1")]),
        ("http", vec![word("127.0.0.1:0"), word("--files"), odd]),
        ("files", vec![word("put"), odd, word("127.0.0.1:1")]),
        ("files", vec![word("serve"), odd, word("127.0.0.1:0")]),
        ("socks5", vec![odd]),
        ("chat_cluster", vec![odd, word("127.0.0.1:1")]),
    ] {
        let (code, _, err) = said(name, &words);
        assert!(matches!(code, Some(1 | 2)), "{name}: {err}");
        assert!(err.contains(r"\xFF") && !err.contains('\u{FFFD}'), "{name}: {err}");
    }
}

/// Else port 0 would be of no use.
#[test]
fn each_says_where_it_listens() {
    for (name, typed, _) in SERVERS {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(path(name));
        command.args(words(typed, dir.path(), "127.0.0.1:0".as_ref())).stdin(Stdio::null());
        let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let line = first_line(&mut child);
        let addr = line.rsplit(' ').next().unwrap();
        assert!(line.starts_with("listening "), "{name}: {line}");
        child.serves_on(addr, name);
    }
}

/// `nc` sends a line with its end, and a program perhaps without.
#[test]
fn the_example_modes_ends_at_exit_however_it_is_typed() {
    for mode in ["inline", "threads", "processes"] {
        for exit in [&b"exit"[..], b"exit\n", b"exit\r\n"] {
            let mut command = Command::new(path("modes"));
            command.args(["127.0.0.1:0", mode]).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut running = Running(command.spawn().unwrap());
            let addr = first_line(&mut running);
            let mut client = TcpStream::connect(addr.rsplit(' ').next().unwrap()).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.read_exact(&mut [0; 7]).unwrap();
            client.write_all(b"how are you?\n").unwrap();
            let mut answer = [0; 5];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"hello");
            client.write_all(exit).unwrap();
            assert_eq!(client.read_some(&mut answer).unwrap(), 0, "{mode} {exit:?}");
        }
    }
}

/// What is typed is taken byte by byte.
#[test]
fn a_path_that_is_no_text_is_listened_at() {
    for name in ["chat", "echo", "hello"] {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join(OsStr::from_bytes(b"\xFF socket"));
        let addr = [b"unix:", socket.as_os_str().as_bytes()].concat();
        let mut command = Command::new(path(name));
        command.arg(OsStr::from_bytes(&addr)).stdout(Stdio::null());
        let mut child = Running(command.spawn().unwrap());
        child.serves_at(&socket, name);
    }
}

#[test]
fn a_hang_up_stops_it_in_good_order_unless_it_was_ignored() {
    for (name, typed, stops) in SERVERS {
        if !stops {
            continue;
        }
        for ignores in [false, true] {
            let (dir, socket, addr) = place();
            let before = if ignores { "trap '' HUP; " } else { "" };
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{before}exec \"$0\" \"$@\"")]).arg(path(name));
            command.args(words(typed, dir.path(), addr.as_ref())).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = Running(command.spawn().unwrap());
            child.serves_at(&socket, name);
            child.signal("-HUP");
            if ignores && cfg!(target_os = "linux") {
                child.serves_at(&socket, name);
                child.serves_at(&socket, name);
                child.signal("-TERM");
            }
            assert_eq!(child.wait(), Some(0), "{name}");
            assert!(!socket.exists(), "{name} left its path");
        }
    }
}

/// A file that may become no longer is an error of one request, and no signal that ends the program.
#[test]
fn a_limit_of_the_length_of_files_ends_no_server() {
    let mut limited = Command::new("sh");
    // Blocks of 512 bytes, or of 1,024 by some shells.
    limited.args(["-c", "ulimit -f 64 && exec \"$0\" 127.0.0.1:0"]).arg(path("http"));
    let mut server = command::Server::of(&mut limited);
    let addr = server.tcp_addr();
    let mut client = command::tcp(&addr);
    let body = vec![7; 1 << 20];
    let head = format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).unwrap();
    // It may answer before it has everything.
    let _ = client.write_all(&body);
    let mut status = [0; 12];
    client.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
    let mut next = command::tcp(&addr);
    next.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    assert!(command::read_to_end(&mut next).starts_with(b"HTTP/1.1 200"));
    server.stop();
}
