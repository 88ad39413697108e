//! What the loops of one group share: permits, handed-off clients, the request to stop.
//!
//! Each loop is a server of its own in a thread of its own. All shared state is here. A server
//! without a group has none of it, and checks one `Option` when a client connects or disconnects.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::addr::Addr;
use crate::io::local_addrs::LearnedAddrs;
use crate::io::mailbox::LoopControl;
use crate::net::StreamSocket;

mod member;
mod permit;
mod shared_addr;

pub(crate) use member::GroupMember;
use permit::ConnectionPermit;
pub(super) use shared_addr::{Distribution, SharedAddr};

/// How clients are distributed to the loops of a [`LoopGroup`](crate::LoopGroup).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LoadBalancing {
    /// Each loop has a listening socket, and the kernel chooses one for each client by a hash of
    /// both addresses (`SO_REUSEPORT`). No client is handed off, and the numbers of clients are
    /// random. On systems whose kernel does not balance (all but Linux), this is
    /// [`LoadBalancing::LeastConnections`].
    ReusePort,
    /// One loop accepts for all, and hands each client off to the loop with the fewest connections. A loop
    /// that has not taken a client for 1 s, because a handler keeps it busy, gets no others meanwhile.
    #[default]
    LeastConnections,
}

/// How many handed-off clients may wait for one loop. A loop with more is behind; the accepting
/// loop then serves the next client itself.
const MAX_HANDOFFS: usize = 1_024;

/// The most connections that failures of a loop count for.
const MAX_PENALTY: usize = 1 << 20;

/// How long a client may wait for a loop before others are not handed to it any more: its handlers
/// keep it busy.
const MAX_HANDOFF_WAIT: Duration = Duration::from_secs(1);

/// What all loops of one [`LoopGroup`](crate::LoopGroup) share.
pub(crate) struct GroupState {
    pub(super) balance: LoadBalancing,
    /// How many connections all loops together may have.
    max_connections: usize,
    /// How many connections are open or handed off, in all loops.
    open_connections: AtomicUsize,
    members: Vec<LoopSlot>,
    addrs: Mutex<Vec<SharedAddr>>,
    /// The shortest grace that was requested.
    stop: Mutex<Option<Duration>>,
    /// The learned local addresses; see [`LearnedAddrs`].
    pub(crate) learned: Arc<LearnedAddrs>,
}

/// One loop, as the others see it.
#[derive(Default)]
struct LoopSlot {
    mailbox: OnceLock<Arc<dyn LoopControl>>,
    connections: AtomicUsize,
    /// How many connections the clients count for that it has refused or failed to set up in a row:
    /// each as many as all before. A loop that ends every client has the fewest connections, and
    /// would otherwise be handed all of them.
    penalty: AtomicUsize,
    /// It found no permit, and is woken when one is released.
    waits_for_permit: AtomicBool,
    handoffs: Mutex<HandoffQueue>,
}

#[derive(Default)]
struct HandoffQueue {
    clients: Vec<Handoff>,
    /// Since when the first of them waits.
    waiting_since: Option<Instant>,
    /// The addresses whose listeners this loop has closed.
    closed_addrs: Vec<usize>,
    /// The loop accepts no client any more: its shutdown has begun.
    closed: bool,
}

/// A client that one loop has accepted for another.
pub(crate) struct Handoff {
    /// The index of the address that it connected to.
    pub(crate) addr_index: usize,
    pub(crate) socket: StreamSocket,
    pub(crate) peer: Addr,
    pub(crate) permit: ConnectionPermit,
}

impl GroupState {
    pub(crate) fn new(loops: usize, balance: LoadBalancing, max_connections: usize) -> GroupState {
        GroupState {
            balance,
            max_connections,
            open_connections: AtomicUsize::new(0),
            members: (0..loops).map(|_| LoopSlot::default()).collect(),
            addrs: Mutex::default(),
            stop: Mutex::default(),
            learned: Arc::default(),
        }
    }

    /// Adds a loop. A stop that was requested before is passed to it.
    fn join(&self, index: usize, mailbox: Arc<dyn LoopControl>) {
        let Some(member) = self.members.get(index) else { return };
        // The lock orders this and `stop`, so that neither misses the other.
        let stop = lock(&self.stop);
        let mailbox = member.mailbox.get_or_init(|| mailbox);
        if let Some(grace) = *stop {
            mailbox.stop(grace);
        }
    }

    /// Shuts down every loop, within the shortest grace that was requested.
    pub(crate) fn stop(&self, grace: Duration) {
        let mut stop = lock(&self.stop);
        if stop.is_some_and(|before| before <= grace) {
            return;
        }
        *stop = Some(grace);
        for mailbox in self.members.iter().filter_map(|member| member.mailbox.get()) {
            mailbox.stop(grace);
        }
    }

    /// The grace of the requested stop, if there is one.
    pub(crate) fn requested_stop(&self) -> Option<Duration> {
        *lock(&self.stop)
    }

    pub(super) fn addrs(&self) -> MutexGuard<'_, Vec<SharedAddr>> {
        lock(&self.addrs)
    }

    fn wake(&self, index: usize) {
        if let Some(mailbox) = self.members.get(index).and_then(|member| member.mailbox.get()) {
            mailbox.wake();
        }
    }

    /// The loop with the fewest connections, of those that accept clients, are not stuck in a handler,
    /// and whose listener at this address is open. `own` has counted the client already, and serves it unless another loop has
    /// fewer, which saves the hand-off.
    fn least_loaded(&self, own: usize, addr_index: usize, now: Instant) -> usize {
        let load = |index: usize| {
            let load = self.members.get(index).map_or(usize::MAX, LoopSlot::load);
            load.saturating_sub(usize::from(index == own))
        };
        let serves = |index: &usize| {
            self.members.get(*index).is_some_and(|member| {
                let handoffs = lock(&member.handoffs);
                let is_stuck = *index != own && handoffs.is_stuck(now);
                !handoffs.closed && !handoffs.closed_addrs.contains(&addr_index) && !is_stuck
            })
        };
        let others = (0..self.members.len()).filter(|index| *index != own);
        let all = std::iter::once(own).chain(others);
        all.filter(serves).min_by_key(|index| load(*index)).unwrap_or(own)
    }

    /// Notes that a loop has closed its listener at an address. What other loops accept there is
    /// not handed to it any more.
    fn note_closed_addr(&self, index: usize, addr_index: usize) {
        if let Some(member) = self.members.get(index) {
            lock(&member.handoffs).closed_addrs.push(addr_index);
        }
    }

    /// Notes whether a loop has admitted a client: verified it, made its handler, and set it up.
    fn note_admission(&self, index: usize, admitted: bool) {
        let Some(member) = self.members.get(index) else { return };
        let before = member.penalty.load(Ordering::Relaxed);
        let after = if admitted { 0 } else { (2 * before).clamp(1, MAX_PENALTY) };
        if after != before {
            member.penalty.store(after, Ordering::Relaxed);
        }
    }

    /// Hands a client off to a loop. `Err` returns the client when the loop does not accept it.
    fn hand_off(&self, to: usize, handoff: Handoff, now: Instant) -> Result<(), Handoff> {
        let Some(member) = self.members.get(to) else { return Err(handoff) };
        let mut handoffs = lock(&member.handoffs);
        let is_closed = handoffs.closed || handoffs.closed_addrs.contains(&handoff.addr_index);
        if is_closed || handoffs.clients.len() >= MAX_HANDOFFS {
            return Err(handoff);
        }
        handoffs.clients.push(handoff);
        handoffs.waiting_since.get_or_insert(now);
        let first = handoffs.clients.len() == 1;
        drop(handoffs);
        if first {
            self.wake(to);
        }
        Ok(())
    }

    /// Takes the clients that were handed off to a loop. After a `last` call it accepts no more.
    fn take_handoffs(&self, index: usize, last: bool) -> Vec<Handoff> {
        let Some(member) = self.members.get(index) else { return Vec::new() };
        let mut handoffs = lock(&member.handoffs);
        handoffs.closed |= last;
        handoffs.waiting_since = None;
        std::mem::take(&mut handoffs.clients)
    }
}

impl HandoffQueue {
    fn is_stuck(&self, now: Instant) -> bool {
        let since = self.waiting_since.unwrap_or(now);
        now.saturating_duration_since(since) > MAX_HANDOFF_WAIT
    }
}

impl LoopSlot {
    fn count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Its connections, and those that its failures count for.
    fn load(&self) -> usize {
        self.count().saturating_add(self.penalty.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<usize> = self.members.iter().map(LoopSlot::count).collect();
        f.debug_struct("GroupState").field("connections", &counts).finish_non_exhaustive()
    }
}

/// No code panics while it holds one of these locks, so a poisoned lock is used as any other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handoff(group: &Arc<GroupState>) -> Handoff {
        let permit = group.reserve(0).unwrap();
        Handoff { addr_index: 0, socket: StreamSocket::Unopened, peer: Addr::Unnamed, permit }
    }

    #[test]
    fn handoffs_are_bounded_and_refused_after_the_last_take() {
        let group = Arc::new(GroupState::new(2, LoadBalancing::LeastConnections, 1 << 20));
        for _ in 0..MAX_HANDOFFS {
            group.hand_off(1, handoff(&group), Instant::now()).map_err(drop).unwrap();
        }
        let Err(_too_many) = group.hand_off(1, handoff(&group), Instant::now()) else {
            panic!("it was taken")
        };
        assert_eq!(group.take_handoffs(1, true).len(), MAX_HANDOFFS);
        let Err(_too_late) = group.hand_off(1, handoff(&group), Instant::now()) else {
            panic!("it was taken")
        };
        assert!(group.take_handoffs(1, false).is_empty());
    }

    #[test]
    fn a_loop_that_fails_again_and_again_is_chosen_less_and_less() {
        let group = Arc::new(GroupState::new(2, LoadBalancing::LeastConnections, 1 << 20));
        let (mut permits, mut failures) = (Vec::new(), 0);
        for _ in 0..1_000 {
            let permit = group.reserve(0).unwrap();
            if group.least_loaded(0, 0, Instant::now()) == 1 {
                failures += 1;
                group.note_admission(1, false);
            } else {
                permits.push(permit);
            }
        }
        assert_eq!(failures, 11, "the eleventh counts for 1,024 connections");
        group.note_admission(1, true);
        assert_eq!(group.least_loaded(0, 0, Instant::now()), 1);
        for _ in 0..100 {
            group.note_admission(1, false);
        }
        assert_eq!(group.members[1].load(), MAX_PENALTY);
    }

    #[test]
    fn a_loop_that_has_closed_an_address_is_handed_clients_of_others_alone() {
        let group = Arc::new(GroupState::new(2, LoadBalancing::LeastConnections, 10));
        let _here = group.reserve(0).unwrap();
        let _own = group.reserve(0).unwrap();
        group.note_closed_addr(1, 0);
        assert_eq!(
            (group.least_loaded(0, 0, Instant::now()), group.least_loaded(0, 1, Instant::now())),
            (0, 1)
        );
        let Err(_closed) = group.hand_off(1, handoff(&group), Instant::now()) else {
            panic!("it was taken")
        };
        // What it has already goes back; without another loop it is the own one.
        assert_eq!(group.least_loaded(1, 0, Instant::now()), 0);
        group.note_closed_addr(0, 0);
        assert_eq!(group.least_loaded(1, 0, Instant::now()), 1);
    }

    #[test]
    fn the_least_loaded_loop_is_chosen_and_the_own_one_on_a_tie() {
        let group = Arc::new(GroupState::new(3, LoadBalancing::LeastConnections, 10));
        let mut permits = Vec::new();
        for expected in [0, 1, 2, 0, 1, 2] {
            let mut permit = group.reserve(0).unwrap();
            let to = group.least_loaded(0, 0, Instant::now());
            assert_eq!(to, expected);
            permit.move_to(to);
            permits.push(permit);
        }
        permits.remove(1);
        let _here = group.reserve(0).unwrap();
        assert_eq!(group.least_loaded(0, 0, Instant::now()), 1);
    }

    #[test]
    fn a_loop_that_does_not_take_its_clients_gets_no_others_while_one_is_free() {
        let group = Arc::new(GroupState::new(3, LoadBalancing::LeastConnections, 10));
        let (began, pause) = (Instant::now(), Duration::from_secs(2));
        // Loop 0 has connections, so the others come first.
        for _ in 0..4 {
            group.reserve(0).unwrap().forget();
        }
        assert_eq!(group.least_loaded(0, 0, began), 1);
        group.hand_off(1, handoff(&group), began).map_err(drop).unwrap();
        let late = began + pause;
        assert_eq!(
            group.least_loaded(0, 0, began + MAX_HANDOFF_WAIT),
            1,
            "it has been fast enough"
        );
        assert_eq!(group.least_loaded(0, 0, late), 2);
        group.hand_off(2, handoff(&group), began).map_err(drop).unwrap();
        assert_eq!(group.least_loaded(0, 0, late), 0, "no other is free");
        assert_eq!(group.take_handoffs(1, false).len(), 1);
        assert_eq!(group.least_loaded(0, 0, late), 1, "it is back");
    }
}
