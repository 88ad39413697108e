//! One run of the built command with a fault, its clients, and what became of both.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::command::{BIN, PATIENCE};
use crate::{accounts, errnos};

/// What a run serves, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    Udp,
    Unixgram,
    /// TCP with a thread for each client.
    Threads,
    /// TCP with a process for each client.
    Processes,
    /// TCP with two loops.
    Loops,
}

pub(crate) const KINDS: [Kind; 7] =
    [Kind::Tcp, Kind::Unix, Kind::Udp, Kind::Unixgram, Kind::Threads, Kind::Processes, Kind::Loops];

/// The name of the socket of a Unix service, in a directory of its own.
pub(crate) const SOCKET: &str = "served.sock";

/// How long a client that must be answered waits before it says one word more.
const LONG: Duration = Duration::from_secs(4);
/// The same, when what fails may well have cost it its answer.
const SHORT: Duration = Duration::from_millis(150);
/// How long it waits then before it gives up.
const PATIENT: Duration = Duration::from_millis(1_500);

/// A call that fails.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) call: String,
    pub(crate) errno: &'static str,
    /// Which of the calls of a thread, as strace wants it: `3`, `3+`, `3+3`.
    pub(crate) when: String,
}

impl Fault {
    /// From some call on it never works again.
    pub(crate) fn lasts(&self) -> bool {
        self.when.ends_with('+')
    }

    /// The system says that nothing is there although something is.
    pub(crate) fn lies(&self) -> bool {
        self.errno == "EAGAIN"
    }
}

/// How it went for one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// Every byte came back.
    Served,
    /// Every byte came back, the last of them only after one word more.
    Late,
    /// Its connection broke, or nobody answered; what came until then was right.
    Lost,
    /// Something came back that was not sent.
    Wrong,
}

/// What is known of a run that has ended.
pub(crate) struct Played {
    pub(crate) trace: String,
    pub(crate) log: String,
    pub(crate) code: Option<i32>,
    /// How it went for each client, in order; the last one is asked until one is served.
    pub(crate) fates: Vec<Fate>,
    pub(crate) received: u64,
    pub(crate) took: Duration,
    /// It did not stop by itself, but at the second signal.
    pub(crate) asked_twice: bool,
    /// It did not stop at all.
    pub(crate) killed: bool,
}

/// Runs `serve echo` under strace, with clients of every kind, and stops it.
pub(crate) fn play(kind: Kind, fault: Option<&Fault>) -> Played {
    let dir = tempfile::tempdir().unwrap();
    let addr = match kind {
        Kind::Unix | Kind::Unixgram => dir.path().join(SOCKET).display().to_string(),
        Kind::Udp => UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string(),
        _ => TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string(),
    };
    let mut run = Run::start(kind, &addr, dir.path(), fault);
    if run.begins() {
        let (soon, gives_up) = match fault {
            Some(fault) if fault.lasts() => (SHORT, SHORT),
            Some(fault) if fault.lies() => (SHORT, PATIENT),
            _ => (LONG, PATIENT),
        };
        let dir = dir.path().to_path_buf();
        let mut clients = Clients { kind, addr, dir, soon, gives_up, open: Vec::new() };
        let mut fates = Vec::new();
        let received = clients.play(&mut fates);
        return run.stop(fates, received);
    }
    run.stop(Vec::new(), 0)
}

/// The command under strace.
struct Run {
    child: Child,
    begun: Instant,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
    trace: PathBuf,
}

impl Run {
    fn start(kind: Kind, addr: &str, dir: &Path, fault: Option<&Fault>) -> Run {
        let trace = dir.join("trace");
        let mut command = Command::new("strace");
        // With -D the traced program, and not strace, is our child.
        command.args(["-D", "-f", "-yy", "-qq", "-s0", "-e", "signal=none", "-o"]).arg(&trace);
        command.arg("-e").arg(format!("trace={}", errnos::calls()));
        if let Some(Fault { call, errno, when }) = fault {
            command.arg("-e").arg(format!("inject={call}:error={errno}:when={when}"));
        }
        command.args([BIN, "serve", "echo", "--drain-timeout", "2s"]);
        let (listener, mode): (_, &[&str]) = match kind {
            Kind::Tcp => ("--tcp", &[]),
            Kind::Unix => ("--unix", &[]),
            Kind::Udp => ("--udp", &[]),
            Kind::Unixgram => ("--unixgram", &[]),
            Kind::Threads => ("--tcp", &["--workers", "threads:4"]),
            Kind::Processes => ("--tcp", &["--workers", "processes:4"]),
            Kind::Loops => ("--tcp", &["--reactors", "2"]),
        };
        command.args([listener, addr]).args(mode);
        command.env("RUST_LOG", accounts::LOG);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            let _ = stderr.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        Run { child, begun: Instant::now(), lines, log: Some(log), trace }
    }

    /// Whether it serves; that its standard output fails is no reason not to.
    fn begins(&mut self) -> bool {
        if self.lines.recv_timeout(Duration::from_secs(2)) == Err(RecvTimeoutError::Disconnected) {
            // It has closed its standard output: it ends, if it has not yet.
            let end = Instant::now() + LONG;
            while self.child.try_wait().unwrap().is_none() && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.child.try_wait().unwrap().is_none()
    }

    fn stop(mut self, fates: Vec<Fate>, received: u64) -> Played {
        let begun = Instant::now();
        let (mut asked_twice, mut killed) = (false, false);
        if self.child.try_wait().unwrap().is_none() {
            kill("-TERM", self.child.id());
        }
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > PATIENCE / 5 && !asked_twice {
                asked_twice = true;
                kill("-TERM", self.child.id());
            }
            if begun.elapsed() > PATIENCE / 3 {
                killed = true;
                self.child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(1));
        };
        let took = self.begun.elapsed();
        // It ends when strace does, and so does the trace.
        let log = self.log.take().unwrap().join().unwrap();
        let trace = fs::read_to_string(&self.trace).unwrap_or_default();
        Played { trace, log, code: status.code(), fates, received, took, asked_twice, killed }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(signal: &str, pid: u32) {
    let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
}

/// A connection, or as good as one.
trait Wire: Read + Write + Send {
    fn split(&self) -> Box<dyn Wire>;
    fn patience(&self, most: Duration);
    fn end(&self);
}

impl Wire for TcpStream {
    fn split(&self) -> Box<dyn Wire> {
        Box::new(self.try_clone().unwrap())
    }

    fn patience(&self, most: Duration) {
        self.set_read_timeout(Some(most)).unwrap();
        self.set_write_timeout(Some(most)).unwrap();
    }

    fn end(&self) {
        let _ = TcpStream::shutdown(self, Shutdown::Write);
    }
}

impl Wire for UnixStream {
    fn split(&self) -> Box<dyn Wire> {
        Box::new(self.try_clone().unwrap())
    }

    fn patience(&self, most: Duration) {
        self.set_read_timeout(Some(most)).unwrap();
        self.set_write_timeout(Some(most)).unwrap();
    }

    fn end(&self) {
        let _ = UnixStream::shutdown(self, Shutdown::Write);
    }
}

struct Clients {
    kind: Kind,
    addr: String,
    dir: PathBuf,
    soon: Duration,
    gives_up: Duration,
    /// Those that only wake a listener, and those that stay until the stop.
    open: Vec<Box<dyn Wire>>,
}

impl Clients {
    /// Gives how many bytes came back to all.
    fn play(&mut self, fates: &mut Vec<Fate>) -> u64 {
        if matches!(self.kind, Kind::Udp | Kind::Unixgram) {
            self.datagrams(fates)
        } else {
            self.streams(fates)
        }
    }

    fn connect(&self) -> Option<Box<dyn Wire>> {
        let end = Instant::now() + self.gives_up;
        loop {
            let wire: Option<Box<dyn Wire>> = if self.kind == Kind::Unix {
                UnixStream::connect(&self.addr).ok().map(|wire| Box::new(wire) as _)
            } else {
                TcpStream::connect(&self.addr).ok().map(|wire| Box::new(wire) as _)
            };
            if let Some(wire) = wire {
                wire.patience(self.soon);
                return Some(wire);
            }
            if Instant::now() > end {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn streams(&mut self, fates: &mut Vec<Fate>) -> u64 {
        let mut received = 0;
        let Some(mut first) = self.connect() else {
            fates.push(Fate::Lost);
            return 0;
        };
        let mut fate = self.ask(&mut first, 10, &mut received);
        self.one(3_000, fates, &mut received);
        if fate != Fate::Lost {
            // More than the system holds, from who does not read at first.
            fate = fate.max(self.ask(&mut first, 600_000, &mut received));
        }
        fates.push(fate);
        self.half_closed(fates, &mut received);
        self.resets();
        // Whatever a fault did, somebody is served in the end.
        let mut tries = 0;
        while self.one(20, fates, &mut received) == Fate::Lost && tries < 3 {
            tries += 1;
        }
        self.open.push(first);
        received
    }

    /// A client that comes, asks and goes.
    fn one(&mut self, n: usize, fates: &mut Vec<Fate>, received: &mut u64) -> Fate {
        let fate = match self.connect() {
            Some(mut wire) => self.ask(&mut wire, n, received),
            None => Fate::Lost,
        };
        fates.push(fate);
        fate
    }

    /// Sends so many bytes and takes them back.
    fn ask(&mut self, wire: &mut Box<dyn Wire>, n: usize, received: &mut u64) -> Fate {
        let sent: Vec<u8> = (0..n).map(|nth| (nth % 251) as u8).collect();
        let (mut writer, gives_up) = (wire.split(), self.gives_up);
        let bytes = sent.clone();
        let writing = thread::spawn(move || {
            writer.patience(gives_up);
            writer.write_all(&bytes).is_ok()
        });
        if n > 100_000 {
            thread::sleep(Duration::from_millis(20));
        }
        let mut fate = Fate::Served;
        let mut wanted = sent;
        let mut got = Vec::new();
        let mut buffer = [0; 65_536];
        wire.patience(self.soon);
        while got.len() < wanted.len() {
            match wire.read(&mut buffer) {
                Ok(0) => fate = Fate::Lost,
                Ok(n) => got.extend(buffer.iter().take(n)),
                Err(error) if is_timeout(&error) && fate == Fate::Served => {
                    // An edge that was denied does not come again without news.
                    fate = Fate::Late;
                    let _ = writing.is_finished() && wire.write_all(b"!").is_ok();
                    wanted.push(b'!');
                    self.open.extend(self.connect());
                    wire.patience(self.gives_up);
                }
                Err(_) => fate = Fate::Lost,
            }
            if fate == Fate::Lost {
                break;
            }
        }
        // The end of the wire ends its writer too.
        if fate == Fate::Lost {
            wire.end();
        }
        let _ = writing.join();
        *received += got.len() as u64;
        if wanted.starts_with(&got) { fate } else { Fate::Wrong }
    }

    /// A client that says at once that nothing more comes, and still gets everything.
    fn half_closed(&mut self, fates: &mut Vec<Fate>, received: &mut u64) {
        let fate = match self.connect() {
            Some(mut wire) => {
                let sent = [b'h'; 5_000];
                let wrote = wire.write_all(&sent).is_ok();
                wire.end();
                wire.patience(self.gives_up);
                let mut got = Vec::new();
                let ended = wire.read_to_end(&mut got).is_ok();
                *received += got.len() as u64;
                match () {
                    () if !sent.starts_with(&got) => Fate::Wrong,
                    () if ended && wrote && got.len() == sent.len() => Fate::Served,
                    () => Fate::Lost,
                }
            }
            None => Fate::Lost,
        };
        fates.push(fate);
    }

    /// A client that vanishes without an end; nobody knows what it would have got.
    fn resets(&mut self) {
        if self.kind == Kind::Unix {
            return;
        }
        if let Ok(wire) = TcpStream::connect(&self.addr) {
            let _ = socket2::SockRef::from(&wire).set_linger(Some(Duration::ZERO));
        }
    }

    fn datagrams(&mut self, fates: &mut Vec<Fate>) -> u64 {
        let mut received = 0;
        for nth in 0..3 {
            let Ok(socket) = Packets::new(self, nth) else {
                fates.push(Fate::Lost);
                continue;
            };
            socket.patience(SHORT);
            // Where nothing works, it does not help to ask again.
            let tries = if self.gives_up == SHORT { 1 } else { 4 };
            fates.extend((0..4_u8).map(|n| socket.ask(&[n; 40], tries, &mut received)));
            // A batch, of which each may be lost once.
            let _ = (10..30).all(|n| socket.send(&[n; 100]));
            let came = (10..30).take_while(|_| socket.receive(&mut received).is_some()).count();
            fates.push(if came == 20 { Fate::Served } else { Fate::Late });
            fates.push(socket.ask(&[77; 9], tries, &mut received));
        }
        received
    }
}

/// A client of datagrams.
enum Packets {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Packets {
    fn new(clients: &Clients, nth: usize) -> std::io::Result<Packets> {
        if clients.kind == Kind::Udp {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(&clients.addr)?;
            return Ok(Packets::Udp(socket));
        }
        let socket = UnixDatagram::bind(clients.dir.join(format!("client{nth}")))?;
        socket.connect(&clients.addr)?;
        Ok(Packets::Unix(socket))
    }

    fn patience(&self, most: Duration) {
        match self {
            Packets::Udp(socket) => socket.set_read_timeout(Some(most)).unwrap(),
            Packets::Unix(socket) => {
                socket.set_read_timeout(Some(most)).unwrap();
                socket.set_write_timeout(Some(most)).unwrap();
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> bool {
        match self {
            Packets::Udp(socket) => socket.send(bytes).is_ok(),
            Packets::Unix(socket) => socket.send(bytes).is_ok(),
        }
    }

    fn receive(&self, received: &mut u64) -> Option<Vec<u8>> {
        let mut buffer = [0; 2_000];
        let n = match self {
            Packets::Udp(socket) => socket.recv(&mut buffer).ok()?,
            Packets::Unix(socket) => socket.recv(&mut buffer).ok()?,
        };
        *received += n as u64;
        buffer.get(..n).map(<[u8]>::to_vec)
    }

    /// A datagram is not owed: who misses an answer asks again.
    fn ask(&self, bytes: &[u8], tries: usize, received: &mut u64) -> Fate {
        for nth in 0..tries {
            let fate = if nth == 0 { Fate::Served } else { Fate::Late };
            self.send(bytes);
            // Answers to what was asked before may still come.
            while let Some(answer) = self.receive(received) {
                if answer == bytes {
                    return fate;
                }
                if answer.iter().any(|byte| Some(byte) != answer.first()) {
                    return Fate::Wrong;
                }
            }
        }
        Fate::Lost
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

impl Fate {
    fn max(self, other: Fate) -> Fate {
        if (other as u8) > (self as u8) { other } else { self }
    }
}
