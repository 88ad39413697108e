//! What is written down about one conversation, so that it can be compared with what should be.

use crate::id::{SocketId, TimerId};
use crate::stats::CloseReason;

#[derive(Debug, Default)]
pub(crate) struct Expectation {
    pub(crate) id: Option<SocketId>,
    pub(crate) set_up: bool,
    /// Bytes of input that the handler took.
    pub(crate) seen: u64,
    /// Bytes of input that it was shown, taken or not.
    pub(crate) shown: u64,
    /// Bytes that anybody sent to the peer, but for those that were refused.
    pub(crate) sent: u64,
    /// Bytes of what its handler wants to say.
    pub(crate) said: usize,
    pub(crate) eof: bool,
    pub(crate) told_of_shutdown: bool,
    /// The number of turns for which it has been due.
    pub(crate) untold: u32,
    pub(crate) paused: bool,
    pub(crate) full_duplex: bool,
    /// When its input was last wanted again.
    pub(crate) wanted_at: Option<u64>,
    pub(crate) output_closed: bool,
    pub(crate) closed: bool,
    pub(crate) closed_at: u64,
    pub(crate) closing_since: u64,
    pub(crate) turns_closing: u32,
    pub(crate) aborted: bool,
    pub(crate) failed: bool,
    pub(crate) panicked: bool,
    /// What the handler left has to be shown again.
    pub(crate) replay_due: bool,
    /// That was asked for while the handler was shown it.
    pub(crate) asked_inside: bool,
    /// It was shown nothing new, because it had asked for that, and took nothing.
    pub(crate) in_vain: bool,
    /// Pieces of work that it has offloaded.
    pub(crate) offloaded: u32,
    /// Since when something is overdue, in turns.
    pub(crate) overdue: u32,
    pub(crate) timers: Vec<(TimerId, u64)>,
    pub(crate) reason: Option<CloseReason>,
    pub(crate) finished_at: u64,
}

impl Expectation {
    /// Whether a connection in the making is to end: it was aborted, or closed and nothing was sent.
    pub(crate) fn gives_up(&self) -> bool {
        self.aborted || self.closed && self.sent == 0
    }
}
