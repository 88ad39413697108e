//! The handler of the server program: its client says in the first line what is to be done.

use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use socketserver::blocking::{Handler, Request};
use socketserver::{Exit, ServerHandle};

use super::settings::Settings;

pub(crate) struct Obedient(pub(crate) Arc<Plan>);

/// What all handlers of one server know.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) server: ServerHandle<u32>,
    /// Whether the signal has come.
    pub(crate) interrupted: Arc<AtomicBool>,
}

/// One byte more than 16 MiB, as in Python's test.
pub(crate) const MUCH: usize = (16 << 20) + 1;

const GRACE: Duration = Duration::from_secs(60);

impl Handler<u32> for Obedient {
    fn setup(&mut self, _request: &mut Request<'_, u32>) -> io::Result<()> {
        self.step("setup")
    }

    fn handle(&mut self, request: &mut Request<'_, u32>) -> io::Result<()> {
        self.step("handle")?;
        let mut line = String::new();
        request.read_line(&mut line)?;
        match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
            ("fail", _) => Err(io::Error::other("expected by this test")),
            ("exit", _) => Err(Exit.into()),
            ("panic", _) => panic!("expected by this test"),
            ("abort", _) => signal_hook::low_level::abort(),
            ("segv", _) => break_off(),
            ("silent", _) => Ok(()),
            ("gate", path) => wait_at(path).and_then(|()| writeln!(request, "passed")),
            ("echo", _) => echo(request),
            ("rest", _) => send_back_all(request),
            ("stay", _) => stay(request),
            ("patience", time) => lose_patience(request, time),
            ("count", _) => count(request),
            ("where", _) => writeln!(request, "{}", process::id()),
            ("name", _) => tell_name(request),
            ("shutdown", _) => {
                self.0.server.shutdown(GRACE);
                writeln!(request, "asked")
            }
            ("alternate", _) => alternate(request),
            ("much", _) => self.write_much(request),
            _ => request.write_all(line.as_bytes()),
        }
    }

    fn finish(&mut self, _request: &mut Request<'_, u32>) -> io::Result<()> {
        self.step("finish")
    }
}

impl Obedient {
    fn step(&self, name: &str) -> io::Result<()> {
        if self.0.settings.notes {
            println!("{name}");
        }
        if self.0.settings.fails_in.as_deref() == Some(name) {
            return Err(io::Error::other(format!("{name} was to fail")));
        }
        Ok(())
    }

    /// One small write, which the client has before the second, large one begins; the signal comes
    /// to this thread alone.
    fn write_much(&self, request: &mut Request<'_, u32>) -> io::Result<()> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGUSR1);
        signals.thread_unblock()?;
        let first = request.write(format!("{}\n", process::id()).as_bytes())?;
        let mut go = String::new();
        request.read_line(&mut go)?;
        let second = request.write(&much())?;
        let interrupted = self.0.interrupted.load(Ordering::SeqCst);
        signals.thread_block()?;
        println!("wrote {} {second} interrupted={interrupted}", first > 1);
        Ok(())
    }
}

/// Bytes of which each has its place.
pub(crate) fn much() -> Vec<u8> {
    let mut bytes = (0..=250).collect::<Vec<u8>>().repeat(MUCH / 251 + 1);
    bytes.truncate(MUCH);
    bytes
}

/// Ends as after a wild pointer. The first signal is only noticed by the runtime.
fn break_off() -> ! {
    loop {
        let _ = kill(Pid::this(), Signal::SIGSEGV);
    }
}

/// Tells who listens at the path that we are here, and waits until that connection ends.
fn wait_at(path: &str) -> io::Result<()> {
    UnixStream::connect(path)?.read_to_end(&mut Vec::new()).map(drop)
}

fn send_back_all(request: &mut Request<'_, u32>) -> io::Result<()> {
    let mut all = Vec::new();
    request.read_to_end(&mut all)?;
    request.write_all(&all)
}

/// Whatever comes, as it comes.
fn echo(request: &mut Request<'_, u32>) -> io::Result<()> {
    writeln!(request, "begin")?;
    let mut buffer = [0; 64 << 10];
    loop {
        let n = request.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        request.write_all(&buffer[..n])?;
    }
}

/// Says who it is, and waits until its client has no more to say.
fn stay(request: &mut Request<'_, u32>) -> io::Result<()> {
    writeln!(request, "{}", process::id())?;
    while request.take_line(80)?.is_some() {}
    writeln!(request, "stayed")
}

fn lose_patience(request: &mut Request<'_, u32>, time: &str) -> io::Result<()> {
    request.set_timeout(time.parse().ok().map(Duration::from_millis))?;
    let error = request.read_line(&mut String::new()).unwrap_err();
    writeln!(request, "{:?}", error.kind())
}

fn count(request: &mut Request<'_, u32>) -> io::Result<()> {
    let count = request.with_shared(|count| {
        *count += 1;
        *count
    })?;
    writeln!(request, "{count}")
}

fn tell_name(request: &mut Request<'_, u32>) -> io::Result<()> {
    let name = request.server_address().map(|addr| addr.to_string());
    writeln!(request, "{}", name.unwrap_or_default())
}

/// By the writer and by the socket in turns, without a flush.
fn alternate(request: &mut Request<'_, u32>) -> io::Result<()> {
    for n in 0..100 {
        writeln!(request, "w{n}")?;
        let mut socket = request.socket().ok_or(io::ErrorKind::Unsupported)?;
        socket.write_all(format!("s{n}\n").as_bytes())?;
    }
    Ok(())
}
