//! The servers compared: their names, and how one is started.

use std::env;
use std::fs;
use std::io;
use std::process::Command;

use super::python;
use super::support::server_process::ServerProcess;

/// An echo server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum EchoServer {
    Bare,
    Ours,
    Tokio,
    Smol,
    Threads,
    PythonAsyncio,
    PythonThreads,
}

impl EchoServer {
    /// The first is the base of the ratios.
    pub(crate) const ALL: [EchoServer; 7] = [
        EchoServer::Bare,
        EchoServer::Ours,
        EchoServer::Tokio,
        EchoServer::Smol,
        EchoServer::Threads,
        EchoServer::PythonAsyncio,
        EchoServer::PythonThreads,
    ];

    /// The argument that runs this program, or `echo.py`, as this server.
    pub(crate) fn role(self) -> &'static str {
        match self {
            EchoServer::Bare => "serve-bare",
            EchoServer::Ours => "serve-ours",
            EchoServer::Tokio => "serve-tokio",
            EchoServer::Smol => "serve-smol",
            EchoServer::Threads => "serve-threads",
            EchoServer::PythonAsyncio => "serve-asyncio",
            EchoServer::PythonThreads => "serve-socketserver",
        }
    }

    pub(crate) fn is_python(self) -> bool {
        matches!(self, EchoServer::PythonAsyncio | EchoServer::PythonThreads)
    }

    pub(crate) fn name(self, cargo_lock: &CargoLock) -> String {
        match self {
            EchoServer::Bare => format!("bare mio {}", cargo_lock.version("mio")),
            EchoServer::Ours => format!("this crate {}", env!("CARGO_PKG_VERSION")),
            EchoServer::Tokio => format!("tokio {}, current thread", cargo_lock.version("tokio")),
            EchoServer::Smol => format!("smol {}, local executor", cargo_lock.version("smol")),
            EchoServer::Threads => String::from("std, a thread a connection"),
            EchoServer::PythonAsyncio => String::from("Python asyncio, Protocol"),
            EchoServer::PythonThreads => String::from("Python ThreadingTCPServer"),
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

/// The text of `Cargo.lock`, which has the versions of dependencies.
pub(crate) struct CargoLock(String);

impl CargoLock {
    pub(crate) fn read() -> CargoLock {
        // Without the file the table has no versions.
        CargoLock(
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
