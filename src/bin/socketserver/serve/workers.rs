//! `--workers`: the services once more, as handlers that block; each client, or each datagram, has
//! a thread or a process of its own.

use std::io::{self, Read};

use log::debug;
use socketserver::blocking::{Request, Workers};
use socketserver::{Addr, Server, SocketId};

use crate::args::{ListenerArg, ServeConfig, ServiceArg};
use crate::system;

use super::services::{Chargen, Daytime, Time, is_reflector};

/// What `--workers` asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WorkersArg {
    Threads(usize),
    Processes(usize),
}

/// One client served to its end, or one datagram. The number is how many datagrams came before; in a process
/// it is 0, because that counts in a copy.
type ServeFn = fn(&mut Request<'_>, usize) -> io::Result<()>;

/// The most that is read at once.
const PIECE: usize = 64 << 10;

impl WorkersArg {
    pub(crate) fn parse(text: &str) -> Result<WorkersArg, String> {
        let wrong = || "write it like threads:8 or processes:4".to_string();
        let (kind, number) = text.split_once(':').ok_or_else(wrong)?;
        let number = number.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(wrong)? as usize;
        match kind {
            "threads" => Ok(WorkersArg::Threads(number)),
            "processes" if cfg!(unix) => Ok(WorkersArg::Processes(number)),
            "processes" => {
                Err("there are no processes for clients on this system; use threads".into())
            }
            _ => Err(wrong()),
        }
    }

    /// One for all listeners, so that the number holds for all of them together. An error is told
    /// by the loop, as it is without workers.
    pub(crate) fn mode(self) -> Workers {
        match self {
            WorkersArg::Threads(n) => silent(Workers::threads(n)),
            #[cfg(unix)]
            WorkersArg::Processes(n) => {
                // The console is the parent's: two processes that poll before they write could block
                // there.
                let quiet = || log::set_max_level(log::LevelFilter::Off);
                silent(Workers::processes(n).after_fork(quiet))
            }
            #[cfg(not(unix))]
            WorkersArg::Processes(n) => silent(Workers::threads(n)),
        }
    }
}

/// Without the library's warning: what a peer does is worth a line at the level debug only.
fn silent(mode: Workers) -> Workers {
    mode.handle_error(|peer, error| debug!("{peer}: ended: {error}"))
}

/// Opens one listener for the service.
pub(crate) fn open(
    server: &mut Server,
    config: &ServeConfig,
    listener: &ListenerArg,
    mode: &Workers,
) -> io::Result<SocketId> {
    let serve = handler_of(config.service);
    let one = move |_: &Addr| move |request: &mut Request<'_>| told(request, serve);
    let mut nth = 0_usize;
    let each = move |_: &Addr| {
        let before = nth;
        nth = nth.wrapping_add(1);
        move |request: &mut Request<'_>| {
            if is_reflector(request.client_address()) {
                return Ok(());
            }
            serve(request, before)
        }
    };
    match listener {
        ListenerArg::Tcp(addr) => server.listen_blocking(addr, mode, one),
        ListenerArg::Unix(path) => server.listen_blocking(path, mode, one),
        ListenerArg::Udp(addr) => server.bind_blocking(addr, mode, each),
        ListenerArg::Unixgram(path) => server.bind_blocking(path, mode, each),
    }
}

/// Says in the log that it came, and that it ended in good order; an error goes to the hook of
/// [`silent`].
fn told(request: &mut Request<'_>, serve: ServeFn) -> io::Result<()> {
    debug!("{} has connected", request.client_address());
    serve(request, 0)?;
    debug!("{}: ended, Closed", request.client_address());
    Ok(())
}

fn handler_of(service: ServiceArg) -> ServeFn {
    match service {
        ServiceArg::Echo => |request, _| answer(request, |_| {}),
        ServiceArg::Upper => |request, _| answer(request, <[u8]>::make_ascii_uppercase),
        // The room of a chat needs one loop: the arguments were refused.
        ServiceArg::Discard | ServiceArg::Chat => |request, _| discard(request),
        ServiceArg::Chargen => chargen,
        ServiceArg::Daytime => |request, _| request.send_all(Daytime::line().as_bytes()),
        ServiceArg::Time => |request, _| request.send_all(&Time::now()),
    }
}

/// Sends everything back, changed.
fn answer(request: &mut Request<'_>, change: fn(&mut [u8])) -> io::Result<()> {
    if let Some(packet) = request.datagram() {
        let mut packet = packet.to_vec();
        change(&mut packet);
        return request.send_all(&packet);
    }
    let mut buffer = vec![0; PIECE];
    loop {
        let n = request.read(&mut buffer)?;
        let Some(piece) = buffer.get_mut(..n).filter(|piece| !piece.is_empty()) else {
            return Ok(());
        };
        change(piece);
        request.send_all(piece)?;
    }
}

fn discard(request: &mut Request<'_>) -> io::Result<()> {
    io::copy(request, &mut io::sink()).map(drop)
}

/// Characters until the peer ends or the server stops, which is looked for between two pieces.
fn chargen(request: &mut Request<'_>, nth: usize) -> io::Result<()> {
    if request.datagram().is_some() {
        return request.send_all(Chargen::line(nth));
    }
    let mut at = 0;
    while !request.is_shutting_down() && request.socket().map_or(Ok(false), system::throw_away)? {
        let (piece, next) = Chargen::piece(at);
        request.send_all(piece)?;
        at = next;
    }
    Ok(())
}
