//! What the parent tells its client processes, and what they tell it: one line of JSON each.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::process::Usage;
use super::scenario::Scenario;

/// The first line that a client process gets.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) terms: Scenario,
    /// The number of its first connection, so that no two processes send the same message.
    pub(crate) first: u32,
    /// Where its connections go, in turn.
    pub(crate) targets: Vec<OsString>,
    /// Where its connections come from, in turn; wherever the system likes if there are none.
    pub(crate) sources: Vec<std::net::IpAddr>,
    /// Where its Unix datagram sockets have their paths.
    pub(crate) scratch: OsString,
    /// The processes whose use is to be told.
    pub(crate) observed: Vec<u32>,
    /// Whether a terminal shows progress.
    pub(crate) progress: bool,
}

/// The later lines.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum ParentMessage {
    /// Begin; everybody is ready.
    Go,
    /// The window is over: begin again without it, to be counted.
    GoOn,
    /// Tell how many answers have come so far.
    Count,
    /// Tell what there is to tell, and end.
    Stop,
}

/// What a client process tells.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum ClientMessage {
    Progress(ProgressReport),
    /// All connections stand that will.
    Ready {
        up: u32,
        failed: u32,
    },
    /// The window begins, and ends; what the servers have used until then, if that was asked.
    Begin(Option<Usage>),
    End(Option<Usage>),
    Counters(Box<Counters>),
    Count(u64),
    /// It cannot do what it was told.
    Failed(String),
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct ProgressReport {
    pub(crate) up: u32,
    /// Answers so far, of the whole run.
    pub(crate) answers: u64,
    pub(crate) p99_ns: u64,
}
