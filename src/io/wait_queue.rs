//! The sockets that wait for something scarce, and the order in which freed units wake them.
//!
//! One unit wakes one socket, so a unit costs the same however many wait. A socket that does not use
//! it wakes the next one; one that came too late keeps its place.

use std::collections::BTreeMap;

use crate::id::SocketId;

/// Sockets in the order in which they are woken, each at most once.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    order: BTreeMap<u64, SocketId>,
    /// The keys in `order`, also of sockets that were woken since.
    places: BTreeMap<SocketId, u64>,
    next_place: u64,
}

impl WaitQueue {
    /// Adds a socket, unless it waits already: at its old place if it was woken in vain, at the end
    /// if it was `served` or is new.
    pub(crate) fn push(&mut self, id: SocketId, served: bool) {
        let place = self.places.entry(id).or_insert(self.next_place);
        if served && !self.order.contains_key(place) {
            *place = self.next_place;
        }
        self.order.insert(*place, id);
        self.next_place += 1;
    }

    /// Wakes the socket that is next.
    pub(crate) fn pop(&mut self) -> Option<SocketId> {
        self.order.pop_first().map(|(_, id)| id)
    }

    /// Takes one socket out, as if it were next.
    pub(crate) fn wake(&mut self, id: SocketId) {
        if let Some(place) = self.places.get(&id) {
            self.order.remove(place);
        }
    }

    /// The socket is gone, or needs nothing more.
    #[inline]
    pub(crate) fn remove(&mut self, id: SocketId) {
        if let Some(place) = self.places.remove(&id) {
            self.order.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Token;

    #[test]
    fn a_socket_that_came_too_late_keeps_its_place() {
        let [one, two, three] = [1, 2, 3].map(|n| SocketId::from_token(Token(n)));
        let mut waiting = WaitQueue::default();
        for id in [one, two, three, two] {
            waiting.push(id, true);
        }
        assert_eq!((waiting.pop(), waiting.pop()), (Some(one), Some(two)));
        waiting.push(one, true);
        waiting.push(two, false);
        waiting.push(two, true);
        assert_eq!(waiting.pop(), Some(two));
        waiting.wake(three);
        assert_eq!((waiting.pop(), waiting.pop()), (Some(one), None));
        for id in [one, two, three, three] {
            waiting.remove(id);
        }
        assert!(waiting.places.is_empty());
    }

    #[test]
    fn new_sockets_wait_in_the_order_in_which_they_came() {
        let ids = [1, 2, 3].map(|n| SocketId::from_token(Token(n)));
        let mut waiting = WaitQueue::default();
        for id in ids {
            waiting.push(id, false);
        }
        assert_eq!(std::iter::from_fn(|| waiting.pop()).collect::<Vec<_>>(), ids);
    }
}
