//! The handler of the server program: its client says in the first line what is to be done.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{self, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use socketserver::blocking::{Handler, Request};
use socketserver::{Exit, ServerHandle};

use super::settings::Settings;

pub(crate) struct Obedient {
    plan: Arc<Plan>,
    /// A file of its own, if it has one.
    owned: Option<Owned>,
    drops_badly: bool,
}

impl Obedient {
    pub(crate) fn new(plan: Arc<Plan>) -> Obedient {
        let owned = plan.settings.owns.as_ref().map(|path| Owned::create(path.clone()));
        Obedient { plan, owned, drops_badly: false }
    }
}

impl Drop for Obedient {
    fn drop(&mut self) {
        if self.drops_badly {
            std::panic::resume_unwind(Box::new("expected by this test"));
        }
    }
}

/// A file that is there for as long as its owner.
struct Owned {
    path: PathBuf,
    server: u32,
}

impl Owned {
    fn create(path: PathBuf) -> Owned {
        fs::write(&path, "").unwrap();
        let server = SERVER.get().copied().unwrap_or_default();
        Owned { path, server }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let place = if process::id() == self.server { "here" } else { "elsewhere" };
        println!("dropped {place}: {}", fs::remove_file(&self.path).is_ok());
    }
}

/// The process of the server.
pub(crate) static SERVER: OnceLock<u32> = OnceLock::new();

/// An error that nobody can read.
#[derive(Debug)]
struct Unshown;

impl fmt::Display for Unshown {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::panic::resume_unwind(Box::new("expected by this test"));
    }
}

impl std::error::Error for Unshown {}

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
            ("unshown", _) => Err(io::Error::other(Unshown)),
            ("bad_drop", _) => {
                self.drops_badly = true;
                Ok(())
            }
            ("owned", _) => {
                let is_there = self.owned.as_ref().is_some_and(|owned| owned.path.exists());
                writeln!(request, "{is_there}")
            }
            ("held", _) => hold(request),
            ("start", _) => start_another(request),
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
                self.plan.server.shutdown(GRACE);
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
        if self.plan.settings.notes {
            println!("{name}");
        }
        if self.plan.settings.fails_in.as_deref() == Some(name) {
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
        let interrupted = self.plan.interrupted.load(Ordering::SeqCst);
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

/// Says how many descriptors this process has, and waits until its client has no more to say.
fn hold(request: &mut Request<'_, u32>) -> io::Result<()> {
    let held = fs::read_dir("/proc/self/fd")?.count();
    writeln!(request, "{held}")?;
    while request.take_line(80)?.is_some() {}
    Ok(())
}

/// Leaves a process behind.
fn start_another(request: &mut Request<'_, u32>) -> io::Result<()> {
    let mut other = process::Command::new("sleep");
    let other = other.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    writeln!(request, "{}", other.id())
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
