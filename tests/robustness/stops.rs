//! A stop (SIGTERM) at any moment under load: what was taken is answered, whoever was served gets
//! all of it and then an end, and the counters of the server say the same.
//!
//! `cargo test` stops a few servers; `STOPS=1000 cargo test --release --test stops -- --nocapture`
//! a thousand. The moments are drawn from `STOPS_SEED`.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::accounts;
use crate::accounts::Accounts;
use crate::command::{Server, bin};
use crate::waits::{PATIENCE, delay, pace};

/// What is stopped, and how.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    words: &'static [&'static str],
    /// The counters know the bytes.
    counts: bool,
    upper: bool,
    unix: bool,
}

const TCP: Kind = Kind { name: "tcp", words: &["echo"], counts: true, upper: false, unix: false };
const PROCESSES: Kind =
    Kind { name: "processes", words: &["echo", "--workers", "processes:4"], counts: false, ..TCP };
const KINDS: &[Kind] = &[
    TCP,
    Kind { name: "unix", unix: true, ..TCP },
    Kind { name: "two loops", words: &["echo", "--loops", "2"], ..TCP },
    Kind { name: "upper", words: &["upper"], upper: true, ..TCP },
    Kind {
        name: "two loops, by the kernel",
        words: &["echo", "--loops", "2", "--balance", "reuseport"],
        ..TCP
    },
    // A thread that has a connection counts nothing.
    Kind { name: "threads", words: &["echo", "--workers", "threads:4"], counts: false, ..TCP },
    Kind {
        name: "unix, threads",
        words: &["echo", "--workers", "threads:4"],
        counts: false,
        unix: true,
        ..TCP
    },
    PROCESSES,
    Kind { name: "unix, processes", unix: true, ..PROCESSES },
];

const CLIENTS: u64 = 4;
/// So much may be under way for each client.
const WINDOW: u64 = 64 << 10;
/// A message is the number of its client and its own.
const MESSAGE: u64 = 16;

/// The bytes that came back to all, and how they ended.
#[derive(Debug, Default)]
struct Tally {
    stops: u64,
    received: u64,
    /// Clients that got an end.
    ended: u64,
    /// Clients that spoke again after everything they had said was answered, to a server that was
    /// gone.
    reset: u64,
    /// Clients that nobody had accepted yet.
    turned_away: u64,
    longest: Duration,
}

#[test]
fn a_stop_at_any_moment_loses_nothing() {
    let stops: u64 = env::var("STOPS").map_or(27, |stops| stops.parse().unwrap());
    let seed: u64 = env::var("STOPS_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut all = Tally::default();
    for &kind in KINDS {
        let mut tally = Tally::default();
        for nth in 0..stops.div_ceil(KINDS.len() as u64) {
            let mut random = Random::new(seed, nth);
            stop_once(kind, &mut random, &mut tally).unwrap_or_else(|what| {
                panic!("{}, STOPS_SEED={seed}, stop {nth}: {what}", kind.name)
            });
        }
        println!("{:26} {tally:?}", kind.name);
        all.add(&tally);
    }
    println!("{:26} {all:?}", "all");
    assert!(all.received > 0 && all.ended > 0, "nobody was served: {all:?}");
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.stops += other.stops;
        self.received += other.received;
        self.ended += other.ended;
        self.reset += other.reset;
        self.turned_away += other.turned_away;
        self.longest = self.longest.max(other.longest);
    }
}

fn stop_once(kind: Kind, random: &mut Random, tally: &mut Tally) -> Result<(), String> {
    let (mut server, addr, _dir) = start(kind);
    let moment = random.below(30_000);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|who| {
            let addr = addr.clone();
            let seed = random.next();
            thread::spawn(move || Client::run(&addr, kind, who, seed))
        })
        .collect();
    delay(Duration::from_micros(moment));
    let begun = Instant::now();
    signal(&server, Signal::SIGTERM);
    let code = server.wait().code();
    tally.longest = tally.longest.max(begun.elapsed());
    tally.stops += 1;
    let mut received = 0;
    for client in clients {
        let client = client.join().map_err(|_| "a client failed".to_string())?;
        received += client.got;
        client.judge(tally)?;
    }
    tally.received += received;
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    if code != Some(0) || log.contains("panicked") {
        return Err(format!("exit code {code:?}: {log}"));
    }
    let Some(accounts) = Accounts::of_log(&log) else { return Err(format!("no counters: {log}")) };
    if let Some(what) = accounts.imbalance() {
        return Err(what);
    }
    let of = |name| accounts.of(name);
    let cut = of("forced") + of("bytes_dropped");
    let counted = of("bytes_in") == of("bytes_out") && of("bytes_out") == received;
    if cut > 0 || kind.counts && !counted {
        return Err(format!("{received} bytes came to the clients: {accounts:?}"));
    }
    Ok(())
}

fn start(kind: Kind) -> (Server, String, Option<tempfile::TempDir>) {
    let dir = kind.unix.then(|| tempfile::tempdir().unwrap());
    let mut command = bin();
    command.arg("serve").args(kind.words).env("RUST_LOG", accounts::LOG).stderr(Stdio::piped());
    match &dir {
        Some(dir) => command.arg("--unix").arg(dir.path().join("socket")),
        None => command.args(["--tcp", "127.0.0.1:0"]),
    };
    let mut server = Server::of(&mut command);
    let line = server.line();
    let addr = line.rsplit(' ').next().unwrap().to_string();
    (server, addr, dir)
}

/// What one client saw.
#[derive(Debug)]
struct Client {
    /// Nothing was sent: nobody listened any more.
    refused: bool,
    sent: u64,
    got: u64,
    end: Result<(), io::Error>,
    /// What came back was not what had been sent.
    wrong: bool,
}

impl Client {
    /// Pipelines numbered messages until the server ends.
    fn run(addr: &str, kind: Kind, who: u64, seed: u64) -> Client {
        let connected = if kind.unix {
            UnixStream::connect(addr).map(|wire| {
                wire.set_read_timeout(Some(PATIENCE)).unwrap();
                let writer = wire.try_clone().unwrap();
                let closer = wire.try_clone().unwrap();
                Client::talk(
                    wire,
                    writer,
                    &|| drop(closer.shutdown(Shutdown::Both)),
                    kind,
                    who,
                    seed,
                )
            })
        } else {
            TcpStream::connect(addr).map(|wire| {
                wire.set_read_timeout(Some(PATIENCE)).unwrap();
                wire.set_nodelay(true).unwrap();
                let writer = wire.try_clone().unwrap();
                let closer = wire.try_clone().unwrap();
                Client::talk(
                    wire,
                    writer,
                    &|| drop(closer.shutdown(Shutdown::Both)),
                    kind,
                    who,
                    seed,
                )
            })
        };
        connected.unwrap_or_else(|error| Client {
            refused: true,
            sent: 0,
            got: 0,
            end: Err(error),
            wrong: false,
        })
    }

    fn talk(
        mut reader: impl Read,
        mut writer: impl Write + Send + 'static,
        close: &dyn Fn(),
        kind: Kind,
        who: u64,
        seed: u64,
    ) -> Client {
        let got = AtomicU64::new(0);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let writing = scope.spawn(|| write(&mut writer, (who, seed), &got, &over));
            let mut wrong = false;
            let mut buffer = [0; 32 << 10];
            let end = loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break Ok(()),
                    Ok(n) => {
                        let from = got.load(Ordering::Relaxed);
                        for (at, seen) in (from..).zip(buffer.iter().take(n)) {
                            let sent = byte(who, at);
                            wrong |=
                                *seen != if kind.upper { sent.to_ascii_uppercase() } else { sent };
                        }
                        got.fetch_add(n as u64, Ordering::Release);
                    }
                    Err(error) => break Err(error),
                }
            };
            over.store(true, Ordering::Release);
            // The writer may be waiting for room.
            close();
            let sent = writing.join().unwrap();
            Client { refused: false, sent, got: got.load(Ordering::Acquire), end, wrong }
        })
    }

    fn judge(&self, tally: &mut Tally) -> Result<(), String> {
        if self.wrong || self.got > self.sent {
            return Err(format!("other bytes came back than were sent: {self:?}"));
        }
        match &self.end {
            Ok(()) => tally.ended += 1,
            Err(_) if self.refused || self.got == 0 => tally.turned_away += 1,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => tally.reset += 1,
            Err(_) => return Err(format!("neither an end nor a reset: {self:?}")),
        }
        Ok(())
    }
}

/// Sends what is not answered yet up to a window, until it is over; says how much.
fn write(
    writer: &mut impl Write,
    (who, seed): (u64, u64),
    got: &AtomicU64,
    over: &AtomicBool,
) -> u64 {
    let mut random = Random::new(seed, who);
    let mut sent = 0;
    while !over.load(Ordering::Acquire) {
        let under_way = sent - got.load(Ordering::Acquire);
        let most = WINDOW.saturating_sub(under_way).min(1 + random.below(8 << 10));
        if most == 0 {
            pace(Duration::from_micros(50));
            continue;
        }
        let bytes: Vec<u8> = (sent..sent + most).map(|at| byte(who, at)).collect();
        match writer.write(&bytes) {
            Ok(n) => sent += n as u64,
            Err(_) => break,
        }
    }
    sent
}

/// What client `who` sends as its byte number `at`.
fn byte(who: u64, at: u64) -> u8 {
    let message = at / MESSAGE;
    let place = (at % MESSAGE) as usize;
    // Letters, so that `upper` has something to do.
    let of = |number: u64, place: usize| b'a' + ((number >> (4 * place)) & 0xF) as u8;
    if place < 4 { of(who, place) } else { of(message, place - 4) }
}

#[test]
fn a_stop_of_a_chat_cuts_no_line_and_skips_none() {
    let stops: u64 = env::var("STOPS").map_or(4, |stops| stops.parse::<u64>().unwrap() / 5);
    let seed: u64 = env::var("STOPS_SEED").map_or(1, |seed| seed.parse().unwrap());
    let (mut heard, mut ended, mut reset) = (0, 0, 0);
    for nth in 0..stops {
        let mut random = Random::new(seed, 2_000_000 + nth);
        let (mut server, addr, _dir) = start(Kind { words: &["chat"], ..TCP });
        let members: Vec<_> = (0..CLIENTS)
            .map(|who| {
                let addr = addr.clone();
                thread::spawn(move || chat(&addr, who))
            })
            .collect();
        delay(Duration::from_micros(random.below(30_000)));
        signal(&server, Signal::SIGTERM);
        let code = server.wait().code();
        let mut received = 0;
        for member in members {
            let Some((lines, end)) = member.join().unwrap() else { continue };
            received += lines.len() as u64;
            let problem = skipped(&lines);
            assert!(problem.is_none(), "STOPS_SEED={seed}, chat {nth}: {problem:?}");
            ended += u64::from(end.is_ok());
            reset += u64::from(end.is_err());
        }
        let mut log = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert_eq!(code, Some(0), "STOPS_SEED={seed}, chat {nth}: {log}");
        let accounts = Accounts::of_log(&log).unwrap();
        let of = |name| accounts.of(name);
        let counted = (of("bytes_out"), of("bytes_dropped"), of("forced"));
        assert_eq!(counted, (received, 0, 0), "STOPS_SEED={seed}, chat {nth}: {accounts:?}");
        assert_eq!(accounts.imbalance(), None);
        heard += received;
    }
    println!("{stops} stops of a chat: {heard} bytes heard, {ended} members ended, {reset} reset");
    assert!(heard > 0, "nobody heard anything");
}

/// Speaks in numbered lines and listens; `None` when nobody let it in.
fn chat(addr: &str, who: u64) -> Option<(Vec<u8>, io::Result<()>)> {
    let mut listener = TcpStream::connect(addr).ok()?;
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut speaker = listener.try_clone().unwrap();
    let speaking = thread::spawn(move || {
        for nth in 0_u64.. {
            let text = format!("{who} {nth} {}\n", "x".repeat((nth % 90) as usize));
            if speaker.write_all(text.as_bytes()).is_err() {
                break;
            }
            pace(Duration::from_micros(100));
        }
    });
    let mut lines = Vec::new();
    let end = listener.read_to_end(&mut lines).map(drop);
    // Whoever waits for room to speak is woken.
    let _ = listener.shutdown(Shutdown::Both);
    speaking.join().unwrap();
    Some((lines, end))
}

/// A line that is cut, or does not follow on the one before of the same speaker.
fn skipped(lines: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(lines).unwrap();
    if !text.is_empty() && !text.ends_with('\n') {
        return Some(format!("a line is cut: {:?}", text.lines().last()));
    }
    let mut next = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(who), Some(nth)) = (number(), number()) else { return Some(line.into()) };
        let whole = words.next() == Some("x".repeat((nth % 90) as usize).as_str());
        // Who comes later does not hear what was said before.
        if !whole || next.insert(who, nth + 1).is_some_and(|next| next != nth) {
            return Some(line.into());
        }
    }
    None
}

#[test]
fn a_signal_while_it_starts_or_a_second_one_ends_it_at_once() {
    let stops: u64 = env::var("STOPS").map_or(12, |stops| stops.parse::<u64>().unwrap() / 5);
    let seed: u64 = env::var("STOPS_SEED").map_or(1, |seed| seed.parse().unwrap());
    let (mut before, mut clean, mut second) = (0, 0, 0);
    for nth in 0..stops {
        let mut random = Random::new(seed, 1_000_000 + nth);
        if nth % 2 == 0 {
            // Perhaps before it heeds signals; then it ends as any program does.
            let mut command = bin();
            command.args(["serve", "echo", "--tcp", "127.0.0.1:0"]).stderr(Stdio::null());
            let mut server = Server::of(&mut command);
            delay(Duration::from_micros(random.below(20_000)));
            signal(&server, Signal::SIGTERM);
            let status = server.wait();
            match (status.code(), status.signal()) {
                (Some(0), _) => clean += 1,
                (_, Some(15)) if server.line().is_empty() => before += 1,
                _ => panic!("STOPS_SEED={seed}, start {nth}: {status:?}"),
            }
            continue;
        }
        // Somebody who never reads would hold up the stop.
        let (mut server, addr, _dir) = start(Kind { words: &["chargen"], ..TCP });
        let stuck = TcpStream::connect(&addr);
        delay(Duration::from_micros(random.below(20_000)));
        signal(&server, Signal::SIGTERM);
        delay(Duration::from_micros(random.below(20_000)));
        signal(&server, Signal::SIGINT);
        match server.wait().code() {
            // It had not come to the client yet.
            Some(0) => clean += 1,
            // The loop may see both at once, and then not which came first.
            Some(130 | 143) => second += 1,
            code => panic!("STOPS_SEED={seed}, second signal {nth}: {code:?}"),
        }
        drop(stuck);
    }
    println!("{before} ended before they heeded signals, {clean} cleanly, {second} at the second");
    assert_eq!(before + clean + second, stops);
}

/// At once, which a program that sends it would not be.
fn signal(server: &Server, signal: Signal) {
    // It may be gone already, but nobody has its number as long as it was not waited for.
    let _ = kill(Pid::from_raw(server.pid().try_into().unwrap()), signal);
}

struct Random(u64);

impl Random {
    fn new(seed: u64, nth: u64) -> Random {
        let mut random = Random((seed << 32 | nth).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}
