//! `serve`: one server for all listeners, from its first line on standard output to its last byte.

use std::fmt::Write;
use std::io;
use std::process::ExitCode;

use log::info;
use socketserver::{Addr, DatagramHandler, Echo, Handler, Server, SocketId};

use crate::args::{Config, Listener, Service};
use crate::chat::{Member, Room};
use crate::services::{Chargen, Daytime, Discard, Time, Upper};
use crate::workers::{self, Workers};
use crate::{console, system};

pub(crate) fn run(config: &Config) -> ExitCode {
    if matches!(config.workers, Some(Workers::Processes(_))) {
        // Only a program with one thread can be forked.
        console::write_directly();
    }
    console::start_log();
    system::raise_descriptor_limit();
    let served = match config.service {
        _ if config.workers.is_some() => serve_blocking(config),
        Service::Echo => serve(config, (), || Echo, || Echo),
        Service::Discard => serve(config, (), || Discard, || Discard),
        Service::Chargen => serve(config, (), Chargen::default, Chargen::default),
        Service::Daytime => serve(config, (), || Daytime, || Daytime),
        Service::Time => serve(config, (), || Time, || Time),
        Service::Upper => serve(config, Vec::new(), || Upper, || Upper),
        Service::Chat => {
            let max_line = config.max_line;
            // There are no datagrams to discard: the arguments were refused.
            serve(config, Room::default(), move || Member::new(max_line), || Discard)
        }
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve<S, H, D>(
    config: &Config,
    shared: S,
    handler: impl Fn() -> H + Clone + 'static,
    datagram_handler: impl Fn() -> D,
) -> io::Result<()>
where
    S: 'static,
    H: Handler<S> + 'static,
    D: DatagramHandler<S> + 'static,
{
    let mut server = Server::with(shared, config.options.clone())?;
    // First, so that no signal finds a server that listens and does not heed it.
    let _ = system::stop_on_signals(&mut server, config.drain_timeout)?;
    run_server(server, config, |server, listener| {
        let handler = handler.clone();
        match listener {
            Listener::Tcp(addr) => server.listen(addr, move |_: &Addr| handler()),
            Listener::Unix(path) => server.listen(path, move |_: &Addr| handler()),
            Listener::Udp(addr) => server.bind(addr, datagram_handler()),
            Listener::Unixgram(path) => server.bind(path, datagram_handler()),
        }
    })
}

fn serve_blocking(config: &Config) -> io::Result<()> {
    let Some(workers) = config.workers else { return Ok(()) };
    let mut server = Server::with((), config.options.clone())?;
    let in_child = system::stop_on_signals(&mut server, config.drain_timeout)?;
    let mode = workers.mode(in_child);
    run_server(server, config, |server, listener| workers::open(server, config, listener, &mode))
}

/// Opens the listeners, says so, and serves until it is asked to stop.
fn run_server<S: 'static>(
    mut server: Server<S>,
    config: &Config,
    mut open: impl FnMut(&mut Server<S>, &Listener) -> io::Result<SocketId>,
) -> io::Result<()> {
    let mut lines = String::new();
    for listener in &config.listeners {
        let id = open(&mut server, listener)?;
        writeln!(lines, "listening {}", name(&mut server, listener, id))
            .map_err(io::Error::other)?;
    }
    console::print(lines);
    server.serve_forever()?;
    info!("stopped: {:?}, {:?}", server.report().unwrap_or_default(), server.io().ledger());
    Ok(())
}

/// A listener in the words of the command line, with the port it got and the path it was given.
fn name<S>(server: &mut Server<S>, listener: &Listener, id: SocketId) -> String {
    let mut got = |given: &String| {
        server.io().local_addr(id).map_or_else(|| given.clone(), |addr| addr.to_string())
    };
    match listener {
        Listener::Tcp(addr) => format!("tcp {}", got(addr)),
        Listener::Udp(addr) => format!("udp {}", got(addr)),
        Listener::Unix(path) => format!("unix {path}"),
        Listener::Unixgram(path) => format!("unixgram {path}"),
    }
}
