//! Which servers there are, and how one is started in a process of its own.

use std::env;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::str::FromStr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::ANY_PORT;
use crate::server_process::ServerProcess;

/// Which server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Ours,
    Bare,
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Kind, ()> {
        match name {
            "ours" => Ok(Kind::Ours),
            "bare" => Ok(Kind::Bare),
            _ => Err(()),
        }
    }
}

impl Kind {
    pub(crate) fn role(self) -> &'static str {
        match self {
            Kind::Ours => "serve-ours",
            Kind::Bare => "serve-bare",
        }
    }
}

/// Which server of datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PacketKind {
    Ours,
    Loop,
    Mio,
}

impl PacketKind {
    pub(crate) const ALL: [PacketKind; 3] = [PacketKind::Ours, PacketKind::Loop, PacketKind::Mio];

    pub(crate) fn role(self) -> &'static str {
        match self {
            PacketKind::Ours => "serve-ours-udp",
            PacketKind::Loop => "serve-loop-udp",
            PacketKind::Mio => "serve-mio-udp",
        }
    }
}

impl FromStr for PacketKind {
    type Err = ();

    fn from_str(name: &str) -> Result<PacketKind, ()> {
        match name {
            "ours" => Ok(PacketKind::Ours),
            "loop" => Ok(PacketKind::Loop),
            "mio" => Ok(PacketKind::Mio),
            _ => Err(()),
        }
    }
}

/// The role of whatever program `drive` is given, which says where it listens as `socketserver serve` does.
pub(crate) const COMMAND: &str = "command";

/// Starts this same program as the server that `role` names, as an argument of the command
/// `wrapper` if that is not empty; or `wrapper` itself, as the [`COMMAND`].
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
        server.farewell = Some(terminate);
        return Ok(server);
    }
    let mut server = ServerProcess::start(command.arg(role))?;
    if role == PacketKind::Loop.role() {
        // It waits for datagrams alone.
        server.farewell = Some(say_farewell);
    }
    Ok(server)
}

/// A command serves until a signal.
fn terminate(process: u32, _addr: SocketAddr) {
    if let Ok(process) = i32::try_from(process) {
        let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
    }
}

fn say_farewell(_process: u32, addr: SocketAddr) {
    let farewell = UdpSocket::bind(ANY_PORT).and_then(|own| own.send_to(&[], addr));
    // If it fails, the server ends by its alarm.
    let _ = farewell;
}
