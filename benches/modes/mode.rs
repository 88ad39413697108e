//! The modes: their names, and how a server of each is started.

use std::env;
use std::io;
use std::process::Command;

use socketserver::blocking;

use super::servers;
use super::support::server_process::ServerProcess;

/// Where the handlers of a server run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ServerMode {
    OneLoop,
    TwoLoops,
    Threads,
    Processes,
}

/// Above the number of clients in any column.
const MAX_CLIENTS: usize = 10_000;

impl ServerMode {
    /// The first is the base of the ratios.
    pub(crate) const ALL: [ServerMode; 4] =
        [ServerMode::OneLoop, ServerMode::TwoLoops, ServerMode::Threads, ServerMode::Processes];

    /// The argument that runs this program as this server.
    pub(crate) fn role(self) -> &'static str {
        match self {
            ServerMode::OneLoop => "serve-one-loop",
            ServerMode::TwoLoops => "serve-two-loops",
            ServerMode::Threads => "serve-threads",
            ServerMode::Processes => "serve-processes",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            ServerMode::OneLoop => "one loop",
            ServerMode::TwoLoops => "two loops",
            ServerMode::Threads => "threads",
            ServerMode::Processes => "processes",
        }
    }

    pub(crate) fn start(self) -> io::Result<ServerProcess> {
        ServerProcess::start(Command::new(env::current_exe()?).arg(self.role()))
    }

    pub(crate) fn serve(self) -> io::Result<()> {
        match self {
            ServerMode::OneLoop => servers::serve_one_loop(),
            ServerMode::TwoLoops => servers::serve_two_loops(),
            ServerMode::Threads => {
                servers::serve_blocking(&blocking::Workers::threads(MAX_CLIENTS))
            }
            ServerMode::Processes => {
                servers::serve_blocking(&blocking::Workers::processes(MAX_CLIENTS))
            }
        }
    }
}
