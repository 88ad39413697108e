//! A server in a process of its own, and what the system says about it.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use crate::client::ANY_PORT;

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

/// A running server; it is killed when this goes without [`ServerProcess::end`].
pub(crate) struct ServerProcess {
    child: Child,
    addr: SocketAddr,
    role: &'static str,
}

impl ServerProcess {
    /// Starts this same program as the server that `role` names, as an argument of the command `wrapper` if that is
    /// not empty.
    pub(crate) fn start(role: &'static str, wrapper: &[&str]) -> io::Result<ServerProcess> {
        let this = env::current_exe()?;
        let mut command = match wrapper.split_first() {
            None => Command::new(this),
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(this);
                command
            }
        };
        let mut child = command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let Some(stdout) = child.stdout.take() else { unreachable!("it was piped") };
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().parse().map_err(|_| io::Error::other("the server did not start"))?;
        Ok(ServerProcess { child, addr, role })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Nanoseconds for which the server has been running on a processor.
    pub(crate) fn cpu(&self) -> io::Result<u64> {
        // One thread serves, and it is the first one.
        let stat = self.read("schedstat")?;
        number(stat.split_whitespace().next())
    }

    /// Bytes of memory that are the server's own and in use: no code, no files.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let rollup = self.read("smaps_rollup")?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        Ok(number(line.and_then(|line| line.split_whitespace().next()))? * 1_024)
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }

    /// Lets the server end by itself and waits for it.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.ask_to_end();
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }

    fn ask_to_end(&mut self) {
        let was_asked = self.child.stdin.take().is_none();
        // The plain loop waits for datagrams alone.
        if self.role == PacketKind::Loop.role() && !was_asked {
            let farewell = UdpSocket::bind(ANY_PORT).and_then(|own| own.send_to(&[], self.addr));
            // If it fails, the server ends by its alarm.
            let _ = farewell;
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // What is killed may be a wrapper that leaves the server behind.
        self.ask_to_end();
        // After `end` both are refused, which is right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(text: Option<&str>) -> io::Result<u64> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no number in /proc"))
}
