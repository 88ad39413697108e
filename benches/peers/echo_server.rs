//! Whom ours is compared with, what they are called, and how one is started.

use std::env;
use std::fs;
use std::io;
use std::process::Command;

use crate::python;
use crate::server_process::ServerProcess;

/// A server that echoes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Peer {
    Bare,
    Ours,
    Tokio,
    Smol,
    Threads,
    PythonAsyncio,
    PythonThreads,
}

impl Peer {
    /// The first is what the others are measured by.
    pub(crate) const ALL: [Peer; 7] = [
        Peer::Bare,
        Peer::Ours,
        Peer::Tokio,
        Peer::Smol,
        Peer::Threads,
        Peer::PythonAsyncio,
        Peer::PythonThreads,
    ];

    /// The argument that makes this program, or `echo.py`, that server.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Peer::Bare => "serve-bare",
            Peer::Ours => "serve-ours",
            Peer::Tokio => "serve-tokio",
            Peer::Smol => "serve-smol",
            Peer::Threads => "serve-threads",
            Peer::PythonAsyncio => "serve-asyncio",
            Peer::PythonThreads => "serve-socketserver",
        }
    }

    pub(crate) fn is_python(self) -> bool {
        matches!(self, Peer::PythonAsyncio | Peer::PythonThreads)
    }

    pub(crate) fn name(self, locked: &Locked) -> String {
        match self {
            Peer::Bare => format!("bare mio {}", locked.version("mio")),
            Peer::Ours => format!("this crate {}", env!("CARGO_PKG_VERSION")),
            Peer::Tokio => format!("tokio {}, current thread", locked.version("tokio")),
            Peer::Smol => format!("smol {}, local executor", locked.version("smol")),
            Peer::Threads => String::from("std, a thread a connection"),
            Peer::PythonAsyncio => String::from("Python asyncio, Protocol"),
            Peer::PythonThreads => String::from("Python ThreadingTCPServer"),
        }
    }

    pub(crate) fn start(self) -> io::Result<ServerProcess> {
        let mut command = match self {
            _ if self.is_python() => python::command(),
            _ => Command::new(env::current_exe()?),
        };
        ServerProcess::start(command.arg(self.role()))
    }
}

/// The versions that cargo built with.
pub(crate) struct Locked(String);

impl Locked {
    pub(crate) fn read() -> Locked {
        // Without it there are no versions in the table.
        Locked(
            fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"))
                .unwrap_or_default(),
        )
    }

    fn version(&self, package: &str) -> &str {
        let name = format!("name = \"{package}\"");
        let mut lines = self.0.lines().skip_while(|line| *line != name).skip(1);
        let version = lines.next().and_then(|line| line.strip_prefix("version = "));
        version.map_or("of unknown version", |version| version.trim_matches('"'))
    }
}
