//! One loop's place in its group.

use std::sync::Arc;
use std::time::Duration;

use super::{Arrival, Group, Seat};
use crate::id::SocketId;
use crate::mailbox::Reach;

/// What one loop has of its group.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) group: Arc<Group>,
    index: usize,
    /// The sockets of this loop by the number of their door.
    doors: Vec<SocketId>,
    /// The loop is still being built: what it opens, all loops open.
    is_building: bool,
}

impl Place {
    pub(crate) fn new(group: Arc<Group>, index: usize, mailbox: Arc<dyn Reach>) -> Place {
        group.enter(index, mailbox);
        Place { group, index, doors: Vec::new(), is_building: true }
    }

    pub(crate) fn end_building(&mut self) {
        self.is_building = false;
    }

    /// The number of the door that is opened next; `None` for what is this loop's own.
    pub(crate) fn next_door(&self) -> Option<usize> {
        self.is_building.then_some(self.doors.len())
    }

    pub(crate) fn has_opened(&mut self, id: SocketId) {
        self.doors.push(id);
    }

    pub(crate) fn door(&self, number: usize) -> Option<SocketId> {
        self.doors.get(number).copied()
    }

    /// A seat for a connection that this loop makes.
    pub(crate) fn reserve(&self) -> Option<Seat> {
        self.group.reserve(self.index)
    }

    /// A seat for a client; if there is none, this loop is woken when there may be one.
    pub(crate) fn reserve_or_wait(&self) -> Option<Seat> {
        self.group.reserve_or_wait(self.index)
    }

    /// A connection of this loop has ended.
    pub(crate) fn free(&self) {
        self.group.free(self.index);
    }

    /// Gives a client to the loop with the fewest connections; back when that is this one, or the
    /// other takes nobody.
    pub(crate) fn hand_over(&self, mut arrival: Arrival) -> Result<(), Arrival> {
        let to = self.group.loop_with_fewest(self.index);
        if to == self.index {
            return Err(arrival);
        }
        arrival.seat.move_to(to);
        self.group.send(to, arrival).map_err(|mut arrival| {
            arrival.seat.move_to(self.index);
            arrival
        })
    }

    /// Those who were handed to this loop since the last look; nobody comes after the `last` one.
    pub(crate) fn arrivals(&self, last: bool) -> Vec<Arrival> {
        self.group.arrivals(self.index, last)
    }

    pub(crate) fn stop_all(&self, grace: Duration) {
        self.group.stop(grace);
    }
}
