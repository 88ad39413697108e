//! What one run of `bench` is: the terms that every table and every record states.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Scenario {
    pub(crate) mode: LoadMode,
    pub(crate) transport: SocketKind,
    pub(crate) connections: u32,
    /// Bytes of one message.
    pub(crate) size: usize,
    pub(crate) warmup_ns: u64,
    pub(crate) duration_ns: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoadMode {
    /// Each connection has as many messages under way, and sends the next for every answer.
    Closed { pipeline: u32 },
    /// Messages a second in all, whatever the server makes of them.
    Open { rate: f64 },
    /// Connect, one exchange, close.
    Churn,
    /// Open, hold, and ask each once at the end.
    Idle,
    /// As many bytes as the server takes.
    Bulk,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SocketKind {
    Tcp,
    Udp,
    Unix,
    Unixgram,
}

impl Scenario {
    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_nanos(self.warmup_ns)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration_ns)
    }

    /// The length of one sample: a second of a long run, a tenth of a short one.
    pub(crate) fn interval_ns(&self) -> u64 {
        (self.duration_ns / 10).clamp(1_000_000, 1_000_000_000)
    }

    /// The share of one client process that has `connections` of them.
    pub(crate) fn share(&self, connections: u32) -> Scenario {
        let mode = match self.mode {
            LoadMode::Open { rate } => {
                LoadMode::Open { rate: rate * f64::from(connections) / f64::from(self.connections) }
            }
            mode => mode,
        };
        Scenario { mode, connections, ..self.clone() }
    }
}

impl SocketKind {
    pub(crate) fn is_datagram(self) -> bool {
        matches!(self, SocketKind::Udp | SocketKind::Unixgram)
    }

    pub(crate) fn is_ip(self) -> bool {
        matches!(self, SocketKind::Tcp | SocketKind::Udp)
    }

    /// As the options of the command line are called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SocketKind::Tcp => "tcp",
            SocketKind::Udp => "udp",
            SocketKind::Unix => "unix",
            SocketKind::Unixgram => "unixgram",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { transport, connections, size, .. } = self;
        match self.mode {
            LoadMode::Closed { .. } => f.write_str("closed loop")?,
            LoadMode::Open { rate } => write!(f, "open loop of {rate} messages/s")?,
            LoadMode::Churn => f.write_str("short connections (connect, one exchange, close)")?,
            LoadMode::Idle => f.write_str("idle connections")?,
            LoadMode::Bulk => f.write_str("bulk stream")?,
        }
        let socket = if transport.is_datagram() { "socket" } else { "connection" };
        let plural = if *connections == 1 { "" } else { "s" };
        write!(f, " over {}, {connections} {socket}{plural}", transport.name())?;
        if let LoadMode::Churn = self.mode {
            f.write_str(" at a time")?;
        }
        if let LoadMode::Closed { pipeline: pipeline @ 2.. } = self.mode {
            write!(f, ", {pipeline} messages under way on each")?;
        }
        write!(f, ", {size} B a message; {:?}", self.duration())?;
        match self.mode {
            LoadMode::Idle => f.write_str(" held"),
            _ => write!(f, " after {:?} of warm-up", self.warmup()),
        }
    }
}
