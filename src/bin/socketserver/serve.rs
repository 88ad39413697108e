//! `serve`: one server for all listeners, or one for each loop, from its first line on standard
//! output to its last byte.

mod chat;
mod endings;
mod listeners;
mod services;
mod time_zone;
pub(crate) mod workers;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use log::{info, warn};
use socketserver::{DatagramHandler, Echo, Handler, LoopGroup, LoopReport, Server, SocketId};

use crate::args::{ListenerArg, ServeConfig, ServiceArg};
use crate::{console, system};
use chat::{ChatRoom, Hub, Member};
use listeners::Opened;
use services::{Chargen, Daytime, Discard, NoReflector, Time, Upper};

pub(crate) fn run(config: &ServeConfig) -> ExitCode {
    console::start_log();
    system::raise_descriptor_limit();
    let served = match config.service {
        _ if config.workers.is_some() => serve_blocking(config),
        ServiceArg::Echo => serve(config, |_| (), || Echo, || Echo),
        ServiceArg::Discard => serve(config, |_| (), || Discard, || Discard),
        ServiceArg::Chargen => serve(config, |_| (), Chargen::default, Chargen::default),
        ServiceArg::Daytime => serve(config, |_| (), || Daytime, || Daytime),
        ServiceArg::Time => serve(config, |_| (), || Time, || Time),
        ServiceArg::Upper => serve(config, |_| Vec::new(), || Upper, || Upper),
        ServiceArg::Chat => {
            let max_line = config.max_line;
            // There are no datagrams to discard: the arguments were refused.
            let member = move || Member::new(max_line);
            if config.loops == 1 {
                serve(config, |_| ChatRoom::default(), member, || Discard)
            } else {
                let hub = Arc::new(Hub::new(config.loops));
                let room = |index| ChatRoom::of_loop(Arc::clone(&hub), index);
                serve(config, room, member, || Discard)
            }
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
    config: &ServeConfig,
    shared: impl Fn(usize) -> S + Sync,
    handler: impl Fn() -> H + Clone + Send + Sync + 'static,
    datagram_handler: impl Fn() -> D + Sync,
) -> io::Result<()>
where
    S: 'static,
    H: Handler<S> + 'static,
    D: DatagramHandler<S> + 'static,
{
    let opened = Opened::look_up(&config.listeners)?;
    let open = |server: &mut Server<S>| listen(server, &opened, &handler, &datagram_handler);
    if config.loops > 1 {
        return serve_in_loops(config, shared, open);
    }
    let mut server = Server::with_shared(shared(0), config.options.clone())?;
    // First, so that no signal finds a server that listens and does not heed it.
    system::stop_on_signals(&mut server, config.grace, config.heed_ignored_signals)?;
    let lines = open(&mut server)?;
    run_server(config, server, lines)
}

fn serve_blocking(config: &ServeConfig) -> io::Result<()> {
    let Some(workers) = config.workers else { return Ok(()) };
    let opened = Opened::look_up(&config.listeners)?;
    let mut server = Server::with_shared((), config.options.clone())?;
    system::stop_on_signals(&mut server, config.grace, config.heed_ignored_signals)?;
    let mode = workers.mode();
    let lines = open_all(&mut server, &opened, |server, listener| {
        workers::open(server, config, listener, &mode)
    })?;
    run_server(config, server, lines)
}

/// Says where it listens, and serves until it is asked to stop.
fn run_server<S: 'static>(
    config: &ServeConfig,
    mut server: Server<S>,
    lines: Vec<u8>,
) -> io::Result<()> {
    console::drain_in(&mut server);
    console::print(lines);
    server.serve_forever()?;
    let report = server.report().unwrap_or_default();
    info!("stopped: {report:?}, {:?}", server.io().stats());
    tell_cut_off(config, report.forced);
    Ok(())
}

/// A stop that was not for all of them as it should be is no failure, but it is said.
fn tell_cut_off(config: &ServeConfig, clients: u64) {
    if clients > 0 {
        let grace = humantime::format_duration(config.grace);
        warn!("clients were cut off: {clients}; they had not ended within {grace} (--grace)");
    }
}

fn serve_in_loops<S: 'static>(
    config: &ServeConfig,
    shared: impl Fn(usize) -> S + Sync,
    open: impl Fn(&mut Server<S>) -> io::Result<Vec<u8>> + Sync,
) -> io::Result<()> {
    let group =
        LoopGroup::new(config.loops).balance(config.balance).options(config.options.clone());
    let loops = group.serve(shared, |index, server| {
        if index == 0 {
            // What ends one loop ends all.
            system::stop_on_signals(server, config.grace, config.heed_ignored_signals)?;
            console::drain_in(server);
        }
        let lines = open(server)?;
        if index + 1 == config.loops {
            console::print(lines);
        }
        Ok(())
    })?;
    for (index, one) in loops.iter().enumerate() {
        info!("loop {index} stopped: {:?}, {:?}", one.report, one.stats);
    }
    tell_cut_off(config, loops.iter().map(|one| one.report.forced).sum());
    config.counters.as_ref().map_or(Ok(()), |path| std::fs::write(path, counters(&loops)))
}

/// What [`bench`](crate::bench) wants to know of each loop: the clients it had, and the datagrams.
fn counters(loops: &[LoopReport]) -> String {
    let line = |one: &LoopReport| format!("{} {}\n", one.stats.accepted, one.stats.packets_in);
    loops.iter().map(line).collect()
}

/// Opens every listener with handlers for the loop; gives a line for each.
fn listen<S, H, D>(
    server: &mut Server<S>,
    opened: &Opened,
    handler: &(impl Fn() -> H + Clone + 'static),
    datagram_handler: impl Fn() -> D,
) -> io::Result<Vec<u8>>
where
    S: 'static,
    H: Handler<S> + 'static,
    D: DatagramHandler<S> + 'static,
{
    open_all(server, opened, |server, listener| {
        let handler = handler.clone();
        match listener {
            ListenerArg::Tcp(addr) => endings::listen(server, addr, handler),
            ListenerArg::Unix(path) => endings::listen(server, path, handler),
            ListenerArg::Udp(addr) => server.bind(addr, NoReflector(datagram_handler())),
            ListenerArg::Unixgram(path) => server.bind(path, datagram_handler()),
        }
    })
}

/// Opens every listener; gives a line for each address.
fn open_all<S>(
    server: &mut Server<S>,
    opened: &Opened,
    open: impl FnMut(&mut Server<S>, &ListenerArg) -> io::Result<SocketId>,
) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for (id, listener) in opened.open_all(server, open)? {
        lines.extend_from_slice(b"listening ");
        // A path is told byte by byte: it need not be text.
        lines.extend_from_slice(name(server, &listener, id).as_encoded_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

/// A listener in the words of the command line, with the port it got and the path it was given.
fn name<S>(server: &mut Server<S>, listener: &ListenerArg, id: SocketId) -> OsString {
    let got = |given: &String| {
        server.io().local_addr(id).map_or_else(|| given.into(), |addr| addr.to_os_string())
    };
    let (kind, addr) = match listener {
        ListenerArg::Tcp(addr) => ("tcp ", got(addr)),
        ListenerArg::Udp(addr) => ("udp ", got(addr)),
        ListenerArg::Unix(path) => ("unix ", path.to_os_string()),
        ListenerArg::Unixgram(path) => ("unixgram ", path.to_os_string()),
    };
    let mut name = OsString::from(kind);
    name.push(addr);
    name
}
