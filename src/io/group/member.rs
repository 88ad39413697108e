//! The membership of one loop in its group.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ConnectionPermit, GroupState, Handoff};
use crate::addr::Addr;
use crate::id::SocketId;
use crate::io::mailbox::LoopControl;
use crate::net::StreamSocket;

/// The membership of one loop.
#[derive(Debug)]
pub(crate) struct GroupMember {
    pub(crate) group: Arc<GroupState>,
    index: usize,
    /// The permit for the next connection.
    reserved: Option<ConnectionPermit>,
    /// The sockets of this loop by the index of their address.
    opened: Vec<SocketId>,
    /// The loop is being built: what it opens, all loops open.
    is_building: bool,
}

impl GroupMember {
    pub(crate) fn new(
        group: Arc<GroupState>,
        index: usize,
        mailbox: Arc<dyn LoopControl>,
    ) -> GroupMember {
        group.join(index, mailbox);
        GroupMember { group, index, reserved: None, opened: Vec::new(), is_building: true }
    }

    /// Ends the building: what the loop opens from now on is its own.
    ///
    /// # Errors
    /// When another loop has opened more addresses.
    pub(crate) fn end_building(&mut self) -> io::Result<()> {
        self.is_building = false;
        let (own, all) = (self.opened.len(), self.group.addrs().len());
        if own == all { Ok(()) } else { Err(wrong_addr_count(all, own)) }
    }

    /// # Errors
    /// When the loops before have opened fewer addresses.
    pub(in crate::io) fn may_open_more(&self) -> io::Result<()> {
        let all = self.group.addrs().len();
        if self.index == 0 || self.opened.len() < all {
            return Ok(());
        }
        Err(wrong_addr_count(all, all + 1))
    }

    /// The index of the address that is opened next; `None` after the building.
    pub(in crate::io) fn next_addr(&self) -> Option<usize> {
        self.is_building.then_some(self.opened.len())
    }

    pub(in crate::io) fn note_opened_addr(&mut self, id: SocketId) {
        self.opened.push(id);
    }

    pub(crate) fn opened_id(&self, number: usize) -> Option<SocketId> {
        self.opened.get(number).copied()
    }

    /// Takes a permit for one more connection. `false` when there is none; the loop is then woken
    /// when one is released.
    pub(in crate::io) fn reserve(&mut self) -> bool {
        if self.reserved.is_none() {
            self.reserved = self.group.reserve_or_wait(self.index);
        }
        self.reserved.is_some()
    }

    /// Takes over the permit of a client that was handed off.
    pub(crate) fn adopt_permit(&mut self, permit: ConnectionPermit) {
        self.reserved = Some(permit);
    }

    /// Uses the permit for a connection.
    pub(in crate::io) fn use_reserved(&mut self) {
        debug_assert!(self.reserved.is_some());
        if let Some(permit) = self.reserved.take() {
            permit.forget();
        }
    }

    /// Returns the permit.
    pub(in crate::io) fn cancel_reservation(&mut self) {
        self.reserved = None;
    }

    /// Releases the permit of a connection of this loop that has ended.
    pub(in crate::io) fn release(&self) {
        self.group.release(self.index);
    }

    /// Hands a client off to the loop with the fewest connections. Returns the client when that is
    /// this loop, or the other does not accept it.
    pub(crate) fn hand_off(
        &mut self,
        addr_index: usize,
        socket: StreamSocket,
        peer: Addr,
        now: Instant,
    ) -> Option<(StreamSocket, Addr)> {
        let to = self.group.least_loaded(self.index, addr_index, now);
        let permit = if to == self.index { None } else { self.reserved.take() };
        let Some(mut permit) = permit else { return Some((socket, peer)) };
        permit.move_to(to);
        let mut refused =
            self.group.hand_off(to, Handoff { addr_index, socket, peer, permit }, now).err()?;
        refused.permit.move_to(self.index);
        self.reserved = Some(refused.permit);
        Some((refused.socket, refused.peer))
    }

    /// Notes whether this loop has admitted a client.
    pub(in crate::io) fn note_admission(&self, admitted: bool) {
        self.group.note_admission(self.index, admitted);
    }

    /// Notes that this loop has closed its listener at an address.
    pub(in crate::io) fn note_closed_addr(&self, addr_index: usize) {
        self.group.note_closed_addr(self.index, addr_index);
    }

    /// Takes the clients that were handed off to this loop. After a `last` call it accepts no more.
    pub(crate) fn take_handoffs(&self, last: bool) -> Vec<Handoff> {
        self.group.take_handoffs(self.index, last)
    }

    pub(crate) fn stop_all(&self, grace: Duration) {
        self.group.stop(grace);
    }
}

fn wrong_addr_count(first: usize, own: usize) -> io::Error {
    let what = format!(
        "each loop has to open the same addresses in the same order: the first one opened {first}, \
         another one {own}"
    );
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::group::LoadBalancing;

    struct Deaf;

    impl LoopControl for Deaf {
        fn wake(&self) {}

        fn stop(&self, _grace: Duration) {}
    }

    #[test]
    fn a_refused_handoff_counts_for_the_accepting_loop() {
        let group = Arc::new(GroupState::new(2, LoadBalancing::LeastConnections, 10));
        let member = |index| GroupMember::new(Arc::clone(&group), index, Arc::new(Deaf));
        let (mut here, there) = (member(0), member(1));
        let counts = || [0, 1].map(|index| group.members[index].count());
        // The other loop has fewer connections.
        assert!(here.reserve());
        here.use_reserved();
        assert!(here.reserve());
        assert!(here.hand_off(0, StreamSocket::Unopened, Addr::Unnamed, Instant::now()).is_none());
        assert_eq!(counts(), [1, 1]);
        assert_eq!(there.take_handoffs(true).len(), 1, "the last look");
        assert_eq!(counts(), [1, 0], "it never sat down there");
        for _ in 0..3 {
            assert!(here.reserve());
            let kept = here.hand_off(0, StreamSocket::Unopened, Addr::Unnamed, Instant::now());
            assert!(kept.is_some(), "a loop that has ended took it");
            assert_eq!(counts(), [2, 0]);
            here.cancel_reservation();
            assert_eq!(counts(), [1, 0]);
        }
        here.release();
        assert_eq!(counts(), [0, 0]);
    }
}
