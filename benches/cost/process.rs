//! The servers of this benchmark, and how one is started as a process.

use std::env;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::str::FromStr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::client::ANY_PORT;
use super::support::server_process::ServerProcess;

/// A TCP server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StreamServer {
    Ours,
    Bare,
}

impl FromStr for StreamServer {
    type Err = ();

    fn from_str(name: &str) -> Result<StreamServer, ()> {
        match name {
            "ours" => Ok(StreamServer::Ours),
            "bare" => Ok(StreamServer::Bare),
            _ => Err(()),
        }
    }
}

impl StreamServer {
    pub(crate) fn role(self) -> &'static str {
        match self {
            StreamServer::Ours => "serve-ours",
            StreamServer::Bare => "serve-bare",
        }
    }
}

/// A UDP server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DatagramServer {
    Ours,
    Loop,
    Mio,
}

impl DatagramServer {
    pub(crate) const ALL: [DatagramServer; 3] =
        [DatagramServer::Ours, DatagramServer::Loop, DatagramServer::Mio];

    pub(crate) fn role(self) -> &'static str {
        match self {
            DatagramServer::Ours => "serve-ours-udp",
            DatagramServer::Loop => "serve-loop-udp",
            DatagramServer::Mio => "serve-mio-udp",
        }
    }
}

impl FromStr for DatagramServer {
    type Err = ();

    fn from_str(name: &str) -> Result<DatagramServer, ()> {
        match name {
            "ours" => Ok(DatagramServer::Ours),
            "loop" => Ok(DatagramServer::Loop),
            "mio" => Ok(DatagramServer::Mio),
            _ => Err(()),
        }
    }
}

/// The role of a command that prints its address as `socketserver serve` does.
pub(crate) const COMMAND: &str = "command";

/// Starts this program as the server `role`, as an argument of the command `wrapper` if that is not
/// empty; or `wrapper` itself as the [`COMMAND`].
pub(crate) fn start(role: &'static str, wrapper: &[&str]) -> io::Result<ServerProcess> {
    let this = env::current_exe()?;
    let is_command = role == COMMAND;
    let mut command = match wrapper.split_first() {
        None => Command::new(this),
        Some((program, args)) if is_command => {
            let mut command = Command::new(program);
            command.args(args);
            command
        }
        Some((program, args)) => {
            let mut command = Command::new(program);
            command.args(args).arg(this);
            command
        }
    };
    if is_command {
        let mut server = ServerProcess::start(&mut command)?;
        server.send_stop = Some(terminate);
        return Ok(server);
    }
    let mut server = ServerProcess::start(command.arg(role))?;
    if role == DatagramServer::Loop.role() {
        // The plain loop does not see the end of standard input.
        server.send_stop = Some(send_stop);
    }
    Ok(server)
}

/// `serve` stops at a signal.
fn terminate(process: u32, _addr: SocketAddr) {
    if let Ok(process) = i32::try_from(process) {
        let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
    }
}

fn send_stop(_process: u32, addr: SocketAddr) {
    let sent = UdpSocket::bind(ANY_PORT).and_then(|own| own.send_to(&[], addr));
    // If sending fails, SIGALRM ends the server.
    let _ = sent;
}
