//! Which modes there are, what they are called, and how a server of each is started.

use std::env;
use std::io;
use std::process::Command;

use socketserver::blocking;

use crate::server_process::ServerProcess;
use crate::servers;

/// Where the handlers of a server run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    OneLoop,
    TwoLoops,
    Threads,
    Processes,
}

/// More than any column has clients.
const MOST: usize = 10_000;

impl Mode {
    /// The first is what the others are measured by.
    pub(crate) const ALL: [Mode; 4] =
        [Mode::OneLoop, Mode::TwoLoops, Mode::Threads, Mode::Processes];

    /// The argument that makes this program that server.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Mode::OneLoop => "serve-one-loop",
            Mode::TwoLoops => "serve-two-loops",
            Mode::Threads => "serve-threads",
            Mode::Processes => "serve-processes",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::OneLoop => "one loop",
            Mode::TwoLoops => "two loops",
            Mode::Threads => "threads",
            Mode::Processes => "processes",
        }
    }

    pub(crate) fn start(self) -> io::Result<ServerProcess> {
        ServerProcess::start(Command::new(env::current_exe()?).arg(self.role()))
    }

    pub(crate) fn serve(self) -> io::Result<()> {
        match self {
            Mode::OneLoop => servers::serve_one_loop(),
            Mode::TwoLoops => servers::serve_two_loops(),
            Mode::Threads => servers::serve_blocking(&blocking::Workers::threads(MOST)),
            Mode::Processes => servers::serve_blocking(&blocking::Workers::processes(MOST)),
        }
    }
}
