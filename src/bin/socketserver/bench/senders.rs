//! What the connections of a client process send, each mode by its own rule.

use socketserver::{Io, SendStatus};

use super::load::{Load, PATIENCE, RunPhase};
use super::scenario::{LoadMode, SocketKind};

impl Load {
    /// Sends one message that was to be sent at `since`.
    #[inline]
    pub(crate) fn send(&mut self, io: &mut Io, number: u32, since: u64) {
        let now = self.now(io);
        let Some(talker) = self.talkers.get_mut(number as usize) else { return };
        let Some(id) = talker.id else { return };
        let seq = talker.send(since, now);
        let sent = io.send(id, self.messages.write(self.first + number, seq));
        self.under_way += 1;
        if sent == SendStatus::Closed {
            // Its `finish` is on the way and counts what was under way.
            log::debug!("connection {number} ends");
        }
    }

    /// The first messages of a connection.
    pub(crate) fn begin_talk(&mut self, io: &mut Io, number: u32) {
        if !self.is_sending() {
            return;
        }
        let now = self.now(io);
        match self.terms.mode {
            LoadMode::Closed { pipeline } => (0..pipeline).for_each(|_| self.send(io, number, now)),
            LoadMode::Churn => self.send(io, number, now),
            LoadMode::Bulk => self.fill(io, number),
            LoadMode::Open { .. } | LoadMode::Idle => {}
        }
    }

    /// Sends as much as is taken. Datagrams are never refused, so there the number is the limit.
    pub(crate) fn fill(&mut self, io: &mut Io, number: u32) {
        let now = self.now(io);
        let most = match self.terms.transport {
            SocketKind::Udp => BULK_PACKETS,
            SocketKind::Unixgram => MOST_IN_UNIX_QUEUE,
            SocketKind::Tcp | SocketKind::Unix => usize::MAX,
        };
        while self.is_sending() {
            let Some(talker) = self.talkers.get(number as usize) else { return };
            let Some(id) = talker.id else { return };
            if io.is_congested(id) || !talker.may_send() || talker.waiting() >= most {
                return;
            }
            self.send(io, number, now);
        }
    }

    /// Sends what is due on one connection, as far as it has room.
    pub(crate) fn send_due(&mut self, io: &mut Io, number: u32) {
        loop {
            let Some(talker) = self.talkers.get(number as usize) else { return };
            let Some(id) = talker.id else { return };
            if talker.sent == talker.due || !talker.may_send() || io.is_congested(id) {
                return;
            }
            let since = self.schedule.time_of(number, talker.sent);
            self.send(io, number, since);
        }
    }

    /// Asks the next idle connections.
    pub(crate) fn probe(&mut self, io: &mut Io) {
        let now = self.now(io);
        let most = match self.terms.transport {
            SocketKind::Unixgram => MOST_IN_UNIX_QUEUE,
            _ => MOST_PROBED,
        };
        while self.under_way < most as u64 && self.next_probe < self.terms.connections {
            let number = self.next_probe;
            self.next_probe += 1;
            self.send(io, number, now);
        }
        if let RunPhase::Draining { until } = &mut self.phase {
            // As long as answers come, there is patience.
            *until = now.saturating_add(PATIENCE);
        }
    }

    pub(crate) fn close(&mut self, io: &mut Io, number: u32) {
        if let Some(id) = self.talkers.get(number as usize).and_then(|talker| talker.id) {
            io.close(id);
        }
    }

    pub(crate) fn pipeline(&self) -> u32 {
        if let LoadMode::Closed { pipeline } = self.terms.mode { pipeline } else { 1 }
    }
}

/// How many idle connections are asked at once.
const MOST_PROBED: usize = 512;

/// Datagrams that a bulk stream has under way.
const BULK_PACKETS: usize = 16;

/// As many datagrams may wait for a Unix socket on every system.
const MOST_IN_UNIX_QUEUE: usize = 8;
