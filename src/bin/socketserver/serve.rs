//! `serve`: one server for all listeners, from its first line on standard output to its last byte.

use std::fmt::Write;
use std::io;
use std::process::ExitCode;

use log::info;
use socketserver::{Addr, Echo, Handler, Server};

use crate::args::{Config, Listener, Service};
use crate::chat::{Member, Room};
use crate::services::{Chargen, Daytime, Discard, Time, Upper};
use crate::{console, system};

pub(crate) fn run(config: &Config) -> ExitCode {
    console::start_log();
    system::raise_descriptor_limit();
    let served = match config.service {
        Service::Echo => serve(config, (), || Echo),
        Service::Discard => serve(config, (), || Discard),
        Service::Chargen => serve(config, (), Chargen::default),
        Service::Daytime => serve(config, (), || Daytime),
        Service::Time => serve(config, (), || Time),
        Service::Upper => serve(config, Vec::new(), || Upper),
        Service::Chat => {
            let max_line = config.max_line;
            serve(config, Room::default(), move || Member::new(max_line))
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

fn serve<S, H>(
    config: &Config,
    shared: S,
    handler: impl Fn() -> H + Clone + 'static,
) -> io::Result<()>
where
    S: 'static,
    H: Handler<S> + 'static,
{
    let mut server = Server::with(shared, config.options.clone())?;
    // First, so that no signal finds a server that listens and does not heed it.
    system::stop_on_signals(&mut server, config.drain_timeout)?;
    let mut lines = String::new();
    for listener in &config.listeners {
        let handler = handler.clone();
        let id = match listener {
            Listener::Tcp(addr) => server.listen(addr, move |_: &Addr| handler())?,
            Listener::Unix(path) => server.listen(path, move |_: &Addr| handler())?,
        };
        let line = match (listener, server.io().local_addr(id)) {
            (Listener::Unix(path), _) => writeln!(lines, "listening unix {path}"),
            (Listener::Tcp(_), Some(addr)) => writeln!(lines, "listening tcp {addr}"),
            (Listener::Tcp(addr), None) => writeln!(lines, "listening tcp {addr}"),
        };
        line.map_err(io::Error::other)?;
    }
    console::print(lines);
    server.serve_forever()?;
    info!("stopped: {:?}, {:?}", server.report().unwrap_or_default(), server.io().ledger());
    Ok(())
}
