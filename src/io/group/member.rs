//! One loop's place in its group.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{ConnectionPermit, GroupState, Handoff};
use crate::addr::Addr;
use crate::id::SocketId;
use crate::io::mailbox::LoopControl;
use crate::net::StreamSocket;

/// What one loop has of its group.
#[derive(Debug)]
pub(crate) struct GroupMember {
    pub(crate) group: Arc<GroupState>,
    index: usize,
    /// The right to the connection that is made next.
    reserved: Option<ConnectionPermit>,
    /// The sockets of this loop by the number of their door.
    doors: Vec<SocketId>,
    /// The loop is still being built: what it opens, all loops open.
    is_building: bool,
}

impl GroupMember {
    pub(crate) fn new(
        group: Arc<GroupState>,
        index: usize,
        mailbox: Arc<dyn LoopControl>,
    ) -> GroupMember {
        group.enter(index, mailbox);
        GroupMember { group, index, reserved: None, doors: Vec::new(), is_building: true }
    }

    /// From now on what the loop opens is its own.
    ///
    /// # Errors
    /// When another loop has opened more.
    pub(crate) fn end_building(&mut self) -> io::Result<()> {
        self.is_building = false;
        let (own, all) = (self.doors.len(), self.group.doors().len());
        if own == all { Ok(()) } else { Err(other_number(all, own)) }
    }

    /// # Errors
    /// When the loops before have opened fewer.
    pub(in crate::io) fn may_open_more(&self) -> io::Result<()> {
        let all = self.group.doors().len();
        if self.index == 0 || self.doors.len() < all {
            return Ok(());
        }
        Err(other_number(all, all + 1))
    }

    /// The number of the door that is opened next; `None` for what is this loop's own.
    pub(in crate::io) fn next_addr(&self) -> Option<usize> {
        self.is_building.then_some(self.doors.len())
    }

    pub(in crate::io) fn note_opened_addr(&mut self, id: SocketId) {
        self.doors.push(id);
    }

    pub(crate) fn door(&self, number: usize) -> Option<SocketId> {
        self.doors.get(number).copied()
    }

    /// Whether this loop may make one more connection. If not, it is woken when it may.
    pub(in crate::io) fn reserve(&mut self) -> bool {
        if self.reserved.is_none() {
            self.reserved = self.group.reserve_or_wait(self.index);
        }
        self.reserved.is_some()
    }

    /// The seat of a client that was handed over comes with it.
    pub(crate) fn receive(&mut self, seat: ConnectionPermit) {
        self.reserved = Some(seat);
    }

    /// The connection is made.
    pub(in crate::io) fn sit(&mut self) {
        debug_assert!(self.reserved.is_some());
        if let Some(seat) = self.reserved.take() {
            seat.keep();
        }
    }

    /// None is made.
    pub(in crate::io) fn give_back(&mut self) {
        self.reserved = None;
    }

    /// A connection of this loop has ended.
    pub(in crate::io) fn free(&self) {
        self.group.free(self.index);
    }

    /// Gives a client to the loop with the fewest connections; back when that is this one, or the
    /// other takes nobody.
    pub(crate) fn hand_over(
        &mut self,
        door: usize,
        socket: StreamSocket,
        peer: Addr,
    ) -> Option<(StreamSocket, Addr)> {
        let to = self.group.least_loaded(self.index);
        let seat = if to == self.index { None } else { self.reserved.take() };
        let Some(mut seat) = seat else { return Some((socket, peer)) };
        seat.move_to(to);
        let mut refused = self.group.send(to, Handoff { door, socket, peer, seat }).err()?;
        refused.seat.move_to(self.index);
        self.reserved = Some(refused.seat);
        Some((refused.socket, refused.peer))
    }

    /// Those who were handed to this loop since the last look; nobody comes after the `last` one.
    pub(crate) fn arrivals(&self, last: bool) -> Vec<Handoff> {
        self.group.arrivals(self.index, last)
    }

    pub(crate) fn stop_all(&self, grace: Duration) {
        self.group.stop(grace);
    }
}

fn other_number(first: usize, own: usize) -> io::Error {
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
    fn a_client_whom_the_other_loop_refuses_counts_for_the_loop_that_keeps_it() {
        let group = Arc::new(GroupState::new(2, LoadBalancing::LeastConnections, 10));
        let place = |index| GroupMember::new(Arc::clone(&group), index, Arc::new(Deaf));
        let (mut here, there) = (place(0), place(1));
        let counts = || [0, 1].map(|index| group.members[index].count());
        // The other one has fewer, so a client goes there while it takes any.
        assert!(here.reserve());
        here.sit();
        assert!(here.reserve());
        assert!(here.hand_over(0, StreamSocket::Unopened, Addr::Unnamed).is_none());
        assert_eq!(counts(), [1, 1]);
        assert_eq!(there.arrivals(true).len(), 1, "the last look");
        assert_eq!(counts(), [1, 0], "it never sat down there");
        for _ in 0..3 {
            assert!(here.reserve());
            let kept = here.hand_over(0, StreamSocket::Unopened, Addr::Unnamed);
            assert!(kept.is_some(), "a loop that has ended took it");
            assert_eq!(counts(), [2, 0]);
            here.give_back();
            assert_eq!(counts(), [1, 0]);
        }
        here.free();
        assert_eq!(counts(), [0, 0]);
    }
}
