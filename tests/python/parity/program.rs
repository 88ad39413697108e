//! The server program: one server with blocking handlers, in a process with one thread.
//!
//! It says its address, and then does what its standard input says, line by line. What happens it
//! says on standard output.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{self, Child, Command};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use mio::Interest;
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use socketserver::blocking::Workers;
use socketserver::{Addr, CloseReason, Exit, Io, Options, Server, SocketId, ToAddrs, mio};

use super::combination::{Place, Transport};
use super::cut_off;
use super::obedient::{Obedient, Plan, SERVER};
use super::orders::{Orders, come_in};
use super::settings::Settings;

/// What a test that went wrong cannot hold up for ever.
const ALARM: u32 = 240;

pub(crate) fn run(words: &[String]) -> io::Result<()> {
    nix::unistd::alarm::set(ALARM);
    let settings = Settings::parse(words);
    let _ = SERVER.set(process::id());
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    signals.thread_block()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&interrupted))?;
    if let Some(most) = settings.descriptors {
        setrlimit(Resource::RLIMIT_NOFILE, most.into(), most.into())?;
    }
    let mut program = Program {
        orders: Orders::from_stdin()?,
        settings,
        interrupted,
        mode: None,
        server: None,
        stranger: None,
    };
    while let Some(order) = program.orders.next()? {
        if order == "end" {
            break;
        }
        program.obey(&order)?;
    }
    Ok(())
}

struct Program {
    orders: Orders,
    settings: Settings,
    interrupted: Arc<AtomicBool>,
    mode: Option<Workers>,
    server: Option<Server<u32>>,
    /// A child that is none of the server's business.
    stranger: Option<Child>,
}

impl Program {
    fn obey(&mut self, order: &str) -> io::Result<()> {
        let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
        match (verb, &mut self.server) {
            ("open", _) => self.open()?,
            ("run", Some(server)) => {
                self.orders.block(false)?;
                let result = server.serve_forever();
                self.orders.block(true)?;
                tell_run(server, result);
            }
            ("request", Some(server)) => {
                self.orders.block(false)?;
                let outcome = server.handle_request(rest.parse().ok().map(Duration::from_millis));
                self.orders.block(true)?;
                println!("{:?}", outcome?);
            }
            ("server_close", Some(server)) => server.io_mut().server_close(),
            ("close", server) => {
                *server = None;
                self.mode = None;
                println!("closed");
            }
            ("race", _) => self.race(rest.parse().unwrap())?,
            ("fail", _) => self.fail_to_bind(rest.parse().unwrap())?,
            ("stranger", _) => self.meet_stranger()?,
            ("cut_off", _) => cut_off::run(&mode(&self.settings))?,
            ("children", _) => tell_children(),
            _ => panic!("{order}"),
        }
        Ok(())
    }

    fn build(&self, address: &str) -> io::Result<(Server<u32>, SocketId, Workers)> {
        let mut server = Server::with_shared(0, Options::default())?;
        let mode = mode(&self.settings);
        let plan = Plan {
            settings: self.settings.clone(),
            server: server.handle(),
            interrupted: Arc::clone(&self.interrupted),
        };
        let id = serve(&mut server, &self.settings, address, &mode, Arc::new(plan))?;
        let mut refuse = self.settings.refuse;
        server.set_verify_request(move |_, _| {
            let refused = refuse > 0;
            refuse = refuse.saturating_sub(1);
            !refused
        });
        Ok((server, id, mode))
    }

    fn open(&mut self) -> io::Result<()> {
        let (mut server, id, mode) = self.build(&self.settings.address)?;
        let ticks = Rc::new(Cell::new(0));
        let ticking = Rc::clone(&ticks);
        server.set_service_actions(move |_, _| ticking.set(ticking.get() + 1));
        let busy = mode.clone();
        server.watch(self.orders.source()?, Interest::READABLE, move |cx, source, _| {
            for order in come_in(source) {
                obey_running(cx.io, &busy, &ticks, &order);
            }
            Ok(())
        })?;
        if self.settings.heeds {
            heed_signals(&mut server)?;
        }
        let addr = server.io().local_addr(id);
        println!("address {}", addr.map(|addr| addr.to_string()).unwrap_or_default());
        (self.server, self.mode) = (Some(server), Some(mode));
        Ok(())
    }

    /// So many servers, each of which is asked to stop while it begins to run.
    fn race(&self, n: usize) -> io::Result<()> {
        let mut servers = Vec::new();
        for nth in 0..n {
            let (server, ..) = self.build(&self.fresh_address(nth))?;
            servers.push(server);
        }
        for mut server in servers {
            let handle = server.handle();
            let stop = move || handle.shutdown(Duration::ZERO);
            if self.settings.combination.place == Place::Processes {
                stop();
                server.serve_forever()?;
            } else {
                let other = thread::spawn(stop);
                server.serve_forever()?;
                other.join().unwrap();
            }
        }
        println!("raced");
        Ok(())
    }

    fn fresh_address(&self, nth: usize) -> String {
        let Settings { address, combination, .. } = &self.settings;
        if combination.transport.is_unix() { format!("{address}-{nth}") } else { address.clone() }
    }

    /// Tries as often to serve where nobody can, and says how many descriptors that has cost.
    fn fail_to_bind(&self, times: usize) -> io::Result<()> {
        let taken = TcpListener::bind("127.0.0.1:0")?;
        let address = match self.settings.combination.transport {
            Transport::Tcp | Transport::Tcp6 => taken.local_addr()?.to_string(),
            // An address for documents, which no machine has.
            Transport::Udp | Transport::Udp6 => "192.0.2.1:1".into(),
            Transport::Unix | Transport::Unixgram => "/nowhere/at/all".into(),
        };
        let mut server = Server::with_shared(0, Options::default())?;
        let mode = mode(&self.settings);
        let plan = Arc::new(Plan {
            settings: self.settings.clone(),
            server: server.handle(),
            interrupted: Arc::clone(&self.interrupted),
        });
        let before = descriptors()?;
        let mut failed = 0;
        for _ in 0..times {
            let result = serve(&mut server, &self.settings, &address, &mode, Arc::clone(&plan));
            failed += usize::from(result.is_err());
        }
        println!("failed {failed} leaked {}", descriptors()? - before);
        Ok(())
    }

    /// Starts a child that ends with 72 at once; asked again, waits for it.
    fn meet_stranger(&mut self) -> io::Result<()> {
        match self.stranger.take() {
            None => {
                self.stranger = Some(Command::new("sh").args(["-c", "exit 72"]).spawn()?);
                println!("met");
            }
            Some(mut child) => println!("stranger {:?}", child.wait()?.code()),
        }
        Ok(())
    }
}

/// As the page of the guide on shutdown has it.
fn heed_signals(server: &mut Server<u32>) -> io::Result<()> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    let reader = mio::net::UnixStream::from_std(reader);
    server.watch(reader, Interest::READABLE, |cx, reader, _ready| {
        while reader.read(&mut [0; 16]).is_ok_and(|n| n > 0) {}
        cx.io.server_close();
        cx.io.shutdown(Duration::from_secs(60));
        Ok(())
    })?;
    Ok(())
}

fn mode(settings: &Settings) -> Workers {
    let mut mode = match settings.combination.place {
        Place::Inline => Workers::inline(),
        Place::Threads => Workers::threads(settings.places),
        Place::Processes => Workers::processes(settings.places).inherit_signals(settings.inherits),
    };
    mode = mode.daemon_threads(settings.detach);
    if let Some(timeout) = settings.timeout {
        mode = mode.timeout(timeout);
    }
    let server = process::id();
    let place = move || if process::id() == server { "here" } else { "elsewhere" };
    if settings.after_fork {
        mode = mode.after_fork(move || println!("forked {}", place()));
    }
    if settings.hook {
        mode = mode.handle_error(move |_, error| {
            println!("hook {}: {error}", place());
        });
    }
    mode
}

fn serve(
    server: &mut Server<u32>,
    settings: &Settings,
    address: &str,
    mode: &Workers,
    plan: Arc<Plan>,
) -> io::Result<SocketId> {
    let factory = move |_: &Addr| Obedient::new(Arc::clone(&plan));
    let transport = settings.combination.transport;
    let addr =
        if transport.is_unix() { vec![Addr::Unix(address.into())] } else { address.to_addrs()? };
    if transport.is_stream() {
        server.listen_blocking(&addr[..], mode, factory)
    } else {
        server.bind_blocking(&addr[..], mode, factory)
    }
}

fn obey_running(io: &mut Io, mode: &Workers, ticks: &Cell<u32>, order: &str) {
    let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
    match verb {
        "stop" => io.shutdown(Duration::from_millis(rest.parse().unwrap())),
        "active" => println!("active {}", mode.active_count()),
        "ticks" => println!("ticks {}", ticks.get() > 0),
        "refused" => println!("refused {}", io.stats().refused + io.stats().packets_refused),
        // Somebody could not be accepted, or could not be given to a process.
        "short" => println!(
            "short {}",
            io.stats().accept_errors + io.stats().ended(CloseReason::HandlerError) > 0
        ),
        "connections" => println!("connections {}", io.connection_count()),
        _ => panic!("{order}"),
    }
}

fn tell_run(server: &mut Server<u32>, result: io::Result<()>) {
    match result {
        Ok(()) => {
            println!("stopped, forced {}", server.report().unwrap_or_default().forced);
        }
        Err(error) if Exit::is_exit(&error) => println!("exit"),
        Err(error) => println!("broken: {error}"),
    }
    server.io().verify_stats().unwrap();
}

fn tell_children() {
    match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        Err(Errno::ECHILD) => println!("no children"),
        other => println!("children: {other:?}"),
    }
}

fn descriptors() -> io::Result<usize> {
    fs::read_dir("/dev/fd").map(Iterator::count)
}
