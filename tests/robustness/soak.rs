//! A server under a mix of clients for as long as one likes: at the end its ledger balances, no
//! descriptor is left, and its memory has not grown.
//!
//! `SOAK=600 cargo test --release --test soak -- --nocapture` takes ten minutes and says every few
//! seconds how it goes; plain `cargo test` takes three seconds.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::accounts;
use crate::accounts::Accounts;
use crate::command::{Server, bin, exchange, tcp, unix};
use crate::read_some::ReadSome;
use crate::waits::{delay, pace};

/// Who is silent for so long is closed; everybody else speaks, or goes, before.
const IDLE: Duration = Duration::from_secs(2);
/// The same in a long run: a machine that has much else to do may hold up a client for seconds.
const LONG_IDLE: Duration = Duration::from_secs(15);
/// A run is looked at in so many parts; in the first quarter of them pools fill.
const PARTS: usize = 16;
/// So many KiB the memory may seem to grow in all parts together, as the usual step from one to the
/// next has it: a leak is in each of them, and pages come and go.
const SLOPE: i64 = 512;
/// So many KiB it may grow in one step: what a few clients who were slow at once had needed, and the
/// allocator could not give back.
const STEP: i64 = 4_096;
const PROGRESS: Duration = Duration::from_secs(5);

/// What the clients did, to be compared with what the server counted.
#[derive(Debug, Default)]
struct Done {
    over: AtomicBool,
    connected: AtomicU64,
    /// Bytes that came back to clients who take everything.
    received: AtomicU64,
    /// Bytes sent by those, all of which must come back.
    echoed: AtomicU64,
    packets_sent: AtomicU64,
    packets_received: AtomicU64,
}

/// Where the server is.
struct Place {
    tcp: String,
    udp: String,
    unix: PathBuf,
    unixgram: PathBuf,
    dir: PathBuf,
}

type Load = fn(&Place, &Done);

/// Each goes on in a thread of its own until the end.
const LOADS: &[(&str, Load)] = &[
    ("short", short),
    ("talker", talker),
    ("unix talker", unix_talker),
    ("half-closer", half_closer),
    ("resetter", resetter),
    ("slow reader", slow_reader),
    ("silent", silent),
    ("packets", packets),
    ("unix packets", unix_packets),
];

#[test]
fn after_any_time_the_ledger_balances_and_the_memory_is_what_it_was() {
    let seconds = env::var("SOAK").map_or(3, |seconds| seconds.parse().unwrap());
    let words: Vec<String> =
        env::var("SOAK_WORDS").unwrap_or_default().split_whitespace().map(Into::into).collect();
    let dir = tempfile::tempdir().unwrap();
    let idle_timeout = if seconds > 30 { LONG_IDLE } else { IDLE };
    let (mut server, place) = start(dir.path(), idle_timeout, &words);
    let idle = descriptors(&server);
    let done = Done::default();
    all_at_once(&server, &place, &done);
    let samples = thread::scope(|scope| {
        for (_, load) in LOADS {
            scope.spawn(|| load(&place, &done));
        }
        let samples = watch(&server, Duration::from_secs(seconds), &done);
        done.over.store(true, Ordering::Release);
        samples
    });
    // The last of them may have to be found idle first.
    crate::waits::until("no descriptor is left", || descriptors(&server) <= idle);
    server.signal("TERM");
    let status = server.wait();
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(status.code() == Some(0) && !log.contains("panicked"), "{status:?}: {log}");
    balance(&Accounts::of_log(&log).unwrap(), &done);
    slope(&samples);
}

fn start(dir: &Path, idle_timeout: Duration, words: &[String]) -> (Server, Place) {
    let (unix, unixgram) = (dir.join("stream"), dir.join("datagrams"));
    let mut command = bin();
    command.args(["serve", "echo", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--unix"]);
    command.arg(&unix).arg("--unixgram").arg(&unixgram).arg("--idle-timeout");
    command.arg(format!("{}s", idle_timeout.as_secs())).args(words);
    command.env("RUST_LOG", accounts::LOG).stderr(Stdio::piped());
    let mut server = Server::of(&mut command);
    let lines: Vec<String> = (0..4).map(|_| server.line()).collect();
    let addr = |what: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(&format!("listening {what} ")));
        line.unwrap_or_else(|| panic!("{lines:?}")).to_string()
    };
    let place =
        Place { tcp: addr("tcp"), udp: addr("udp"), unix, unixgram, dir: dir.to_path_buf() };
    (server, place)
}

/// What belongs to the loop grows to what its fullest round needs, which may come late in a run. So
/// there is one at once: everybody has spoken when it looks.
fn all_at_once(server: &Server, place: &Place, done: &Done) {
    const EACH: usize = 50_000;
    let mut streams: Vec<TcpStream> = (0..40).map(|_| done.tcp(place)).collect();
    for stream in &mut streams {
        done.echo(stream, b"here");
    }
    server.signal("STOP");
    for stream in &mut streams {
        stream.write_all(&[b'a'; EACH]).unwrap();
    }
    server.signal("CONT");
    for stream in &mut streams {
        let mut answer = vec![0; EACH];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.iter().all(|byte| *byte == b'a'));
        done.echoed.fetch_add(EACH as u64, Ordering::AcqRel);
        done.received.fetch_add(EACH as u64, Ordering::AcqRel);
    }
}

/// Notes the memory ten times a second.
fn watch(server: &Server, time: Duration, done: &Done) -> Vec<u64> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut next = PROGRESS;
    while begun.elapsed() < time {
        pace(Duration::from_millis(100));
        samples.push(server.memory());
        if begun.elapsed() >= next {
            next += PROGRESS;
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            println!(
                "{:5} s: {} connections, {} MB echoed, {} datagrams, {} KiB, {} descriptors",
                begun.elapsed().as_secs(),
                of(&done.connected),
                of(&done.received) / 1_000_000,
                of(&done.packets_received),
                samples.last().copied().unwrap_or_default(),
                descriptors(server),
            );
        }
    }
    samples
}

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// The two sides must have seen the same.
fn balance(accounts: &Accounts, done: &Done) {
    let of = |name| accounts.of(name);
    let did = |counter: &AtomicU64| counter.load(Ordering::Acquire);
    assert_eq!(accounts.imbalance(), None);
    assert_eq!(of("accepted") + of("refused"), did(&done.connected), "{accounts:?}");
    assert_eq!(did(&done.received), did(&done.echoed));
    assert!(of("bytes_out") >= did(&done.received), "{accounts:?}");
    // A datagram is not owed, but nobody answers what was not asked.
    assert!(of("packets_in") <= did(&done.packets_sent), "{accounts:?}");
    assert!(did(&done.packets_received) <= of("packets_out"), "{accounts:?}");
    assert!(did(&done.packets_received) > 0 && did(&done.received) > 0, "{done:?}");
    println!("{done:?}\n{accounts:?}");
}

/// Compares each part of the run with the next.
fn slope(samples: &[u64]) {
    let medians: Vec<i64> = samples
        .chunks((samples.len() / PARTS).max(1))
        .skip(PARTS / 4)
        .map(|part| median(part.iter().map(|kib| (*kib).try_into().unwrap()).collect()))
        .collect();
    let steps = medians.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?));
    let step = median(steps.collect());
    let slope = step * i64::try_from(medians.len()).unwrap();
    let (first, last) = (medians.first().unwrap(), medians.last().unwrap());
    println!("{medians:?} KiB, the usual step is {step} KiB");
    assert!(last - first <= STEP, "the memory grew from {first} to {last} KiB");
    // A few seconds are all beginning.
    assert!(slope <= SLOPE || samples.len() < 300, "the memory grows: {medians:?} KiB");
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Done {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn tcp(&self, place: &Place) -> TcpStream {
        let stream = tcp(&place.tcp);
        self.connected.fetch_add(1, Ordering::AcqRel);
        stream
    }

    fn echo(&self, stream: &mut (impl Read + Write), bytes: &[u8]) {
        assert!(exchange(stream, bytes) == bytes, "other bytes came back than were sent");
        self.echoed.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        self.received.fetch_add(bytes.len() as u64, Ordering::AcqRel);
    }
}

/// Comes, asks and goes, again and again.
fn short(place: &Place, done: &Done) {
    while !done.is_over() {
        done.echo(&mut done.tcp(place), &[b's'; 64]);
        pace(Duration::from_micros(200));
    }
}

/// Messages of all sizes on connections that stay.
fn talker(place: &Place, done: &Done) {
    let mut streams: Vec<TcpStream> = (0..20).map(|_| done.tcp(place)).collect();
    talk(&mut streams, done);
}

fn unix_talker(place: &Place, done: &Done) {
    let mut streams: Vec<UnixStream> = (0..20).map(|_| unix(&place.unix)).collect();
    done.connected.fetch_add(20, Ordering::AcqRel);
    talk(&mut streams, done);
}

fn talk(streams: &mut [impl Read + Write], done: &Done) {
    let mut size = 1_u32;
    while !done.is_over() {
        for stream in &mut *streams {
            let message: Vec<u8> = (0..size).map(|at| (at % 253) as u8).collect();
            done.echo(stream, &message);
            size = size * 3 % 50_021;
        }
        pace(Duration::from_micros(500));
    }
}

/// Says at once that nothing more comes.
fn half_closer(place: &Place, done: &Done) {
    while !done.is_over() {
        let mut stream = done.tcp(place);
        let message = [b'h'; 10_000];
        stream.write_all(&message).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == message, "{} bytes came back", answer.len());
        done.echoed.fetch_add(10_000, Ordering::AcqRel);
        done.received.fetch_add(10_000, Ordering::AcqRel);
        pace(Duration::from_millis(1));
    }
}

/// Vanishes with an answer under way.
fn resetter(place: &Place, done: &Done) {
    let mut size = 1;
    while !done.is_over() {
        let mut stream = done.tcp(place);
        let _ = stream.write_all(&vec![b'r'; size]);
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        size = size * 7 % 100_003;
        pace(Duration::from_millis(2));
    }
}

/// Sends more than the server will hold for it, and reads it later in small pieces.
fn slow_reader(place: &Place, done: &Done) {
    const SIZE: usize = 4 << 20;
    while !done.is_over() {
        let mut stream = done.tcp(place);
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&vec![b'l'; SIZE]));
        delay(Duration::from_millis(200));
        let (mut got, mut buffer) = (0, [0; 20_000]);
        while got < SIZE {
            let n = stream.read_some(&mut buffer).unwrap();
            assert!(n > 0, "an end after {got} bytes");
            assert!(buffer.iter().take(n).all(|byte| *byte == b'l'));
            got += n;
        }
        writing.join().unwrap().unwrap();
        done.echoed.fetch_add(SIZE as u64, Ordering::AcqRel);
        done.received.fetch_add(SIZE as u64, Ordering::AcqRel);
    }
}

/// Says nothing until it is closed.
fn silent(place: &Place, done: &Done) {
    while !done.is_over() {
        let silent: Vec<TcpStream> = (0..20).map(|_| done.tcp(place)).collect();
        for mut stream in silent {
            assert_eq!(stream.read_some(&mut [0; 1]).unwrap(), 0, "it is closed when it was idle");
        }
    }
}

fn packets(place: &Place, done: &Done) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&place.udp).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    exchange_packets(done, |bytes| socket.send(bytes), |buffer| socket.recv(buffer));
}

fn unix_packets(place: &Place, done: &Done) {
    let socket = UnixDatagram::bind(place.dir.join("client")).unwrap();
    socket.connect(&place.unixgram).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    exchange_packets(done, |bytes| socket.send(bytes), |buffer| socket.recv(buffer));
}

/// Bursts, of which each answer is one that was asked for.
fn exchange_packets(
    done: &Done,
    send: impl Fn(&[u8]) -> std::io::Result<usize>,
    receive: impl Fn(&mut [u8]) -> std::io::Result<usize>,
) {
    let mut buffer = [0; 2_000];
    while !done.is_over() {
        let mut asked = 0;
        for n in 0..20_u8 {
            let packet = vec![n; 50 * usize::from(n)];
            if !packet.is_empty() && send(&packet).is_ok() {
                asked += 1;
            }
        }
        done.packets_sent.fetch_add(asked, Ordering::AcqRel);
        for _ in 0..asked {
            match receive(&mut buffer) {
                Ok(n) => {
                    let kind = buffer.first().copied().unwrap_or_default();
                    assert!(n == 50 * usize::from(kind), "{n} bytes of {kind}");
                    done.packets_received.fetch_add(1, Ordering::AcqRel);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        pace(Duration::from_millis(1));
    }
}

#[test]
#[should_panic(expected = "the memory grows")]
fn a_leak_of_a_few_bytes_a_connection_is_seen() {
    // Eight bytes of each of 1,000 connections a second, for five minutes, among pages that come
    // and go.
    let leak = |nth: u64| 5_000 + nth * 800 / 1_024 + nth * 37 % 100;
    slope(&(0..3_000).map(leak).collect::<Vec<_>>());
}

#[test]
fn a_step_is_no_slope() {
    slope(&(0..3_000).map(|nth| if nth < 2_200 { 5_136 } else { 6_584 }).collect::<Vec<_>>());
}
