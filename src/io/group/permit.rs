//! The permit for one connection, of those that all loops together may have.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::GroupState;

/// Taken before a client is accepted, so that no two loops accept for the same permit; dropping it
/// returns it. A server without a group counts for itself and has none.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Option<Counted>);

#[derive(Debug)]
struct Counted {
    group: Arc<GroupState>,
    /// The loop that it is counted for.
    at: usize,
}

impl ConnectionPermit {
    /// The connection exists: from now on [`GroupState::release`] returns the permit.
    pub(super) fn forget(mut self) {
        self.0 = None;
    }

    /// Counts the permit for another loop.
    pub(super) fn move_to(&mut self, index: usize) {
        if let Some(open_connections) = &mut self.0 {
            open_connections.group.count(open_connections.at, false);
            open_connections.group.count(index, true);
            open_connections.at = index;
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(open_connections) = self.0.take() {
            open_connections.group.release(open_connections.at);
        }
    }
}

impl GroupState {
    /// A permit for a connection of this loop. `None` when there is none.
    pub(super) fn reserve(self: &Arc<Self>, index: usize) -> Option<ConnectionPermit> {
        let one_more = |open_connections| {
            (open_connections < self.max_connections).then_some(open_connections + 1)
        };
        self.open_connections.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        self.count(index, true);
        Some(ConnectionPermit(Some(Counted { group: Arc::clone(self), at: index })))
    }

    /// Like [`GroupState::reserve`]; when there is no permit, the loop is woken when one is
    /// released.
    pub(super) fn reserve_or_wait(self: &Arc<Self>, index: usize) -> Option<ConnectionPermit> {
        self.reserve(index).or_else(|| {
            self.members.get(index)?.waits_for_permit.store(true, Ordering::SeqCst);
            // A permit that was released before the store has woken no loop.
            self.reserve(index)
        })
    }

    /// Releases the permit of a connection that has ended.
    pub(super) fn release(&self, index: usize) {
        self.count(index, false);
        // Loops wait only when no permit was left. All of them are woken, because a woken loop that
        // no longer needs the permit would not pass it on.
        if self.open_connections.fetch_sub(1, Ordering::SeqCst) == self.max_connections {
            for (nth, member) in self.members.iter().enumerate() {
                if member.waits_for_permit.load(Ordering::SeqCst)
                    && member.waits_for_permit.swap(false, Ordering::SeqCst)
                {
                    self.wake(nth);
                }
            }
        }
    }

    fn count(&self, index: usize, more: bool) {
        let Some(member) = self.members.get(index) else { return };
        if more {
            member.connections.fetch_add(1, Ordering::Relaxed);
        } else {
            member.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::io::group::LoadBalancing;
    use crate::io::mailbox::LoopControl;

    #[test]
    fn all_loops_share_one_number_of_permits() {
        let group = Arc::new(GroupState::new(2, LoadBalancing::LeastConnections, 2));
        let one = group.reserve(0).unwrap();
        let mut other = group.reserve(1).unwrap();
        assert!(group.reserve_or_wait(0).is_none());
        other.move_to(0);
        assert_eq!((group.members[0].count(), group.members[1].count()), (2, 0));
        drop(one);
        let third = group.reserve(1).unwrap();
        third.forget();
        assert!(group.reserve(0).is_none());
        group.release(1);
        drop(group.reserve(0).unwrap());
        drop(other);
        assert_eq!((group.members[0].count(), group.members[1].count()), (0, 0));
        assert_eq!(group.open_connections.load(Ordering::SeqCst), 0);
    }

    /// A loop that counts how often it is woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl LoopControl for Wakes {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn stop(&self, _grace: Duration) {}
    }

    #[test]
    fn a_released_permit_wakes_exactly_the_loops_that_wait() {
        let group = Arc::new(GroupState::new(4, LoadBalancing::LeastConnections, 1));
        let loops: Vec<Arc<Wakes>> = (0..4).map(|_| Arc::default()).collect();
        for (index, one) in loops.iter().enumerate() {
            group.join(index, Arc::clone(one) as Arc<dyn LoopControl>);
        }
        let woken =
            || -> Vec<usize> { loops.iter().map(|one| one.0.load(Ordering::SeqCst)).collect() };
        let permit = group.reserve(0).unwrap();
        for index in [1, 3] {
            assert!(group.reserve_or_wait(index).is_none());
        }
        assert_eq!(woken(), [0, 0, 0, 0]);
        drop(permit);
        assert_eq!(woken(), [0, 1, 0, 1]);
        // A woken loop waits no more: it has to ask again.
        drop(group.reserve(0).unwrap());
        assert_eq!(woken(), [0, 1, 0, 1]);
    }

    #[test]
    fn under_contention_no_permit_is_lost_or_given_twice() {
        let group = Arc::new(GroupState::new(4, LoadBalancing::LeastConnections, 3));
        std::thread::scope(|scope| {
            for index in 0..4 {
                let group = &group;
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        if let Some(permit) = group.reserve_or_wait(index) {
                            assert!(group.open_connections.load(Ordering::SeqCst) <= 3);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert_eq!(group.open_connections.load(Ordering::SeqCst), 0);
    }
}
