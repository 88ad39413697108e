//! The queue of name look-ups: which one is next, and for which owner.
//!
//! getaddrinfo(3) blocks, sometimes for half a minute, and cannot be cancelled. So each look-up
//! that runs occupies a thread, and threads are few. One client that asks for many names must not
//! occupy all of them: an [`Owner`] may occupy as many threads as it leaves free, and owners take
//! turns. Equal names are looked up once. This file starts no thread; [`crate::io::resolver`] does.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use crate::id::SocketId;

/// For which party a name is looked up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Owner {
    /// The program itself, from outside of its handlers.
    Program,
    /// The clients that share this address.
    Client(IpAddr),
    /// A handler whose peer has no address.
    Handler(SocketId),
}

impl Owner {
    /// The client at this address. A client with one IPv6 address usually has the whole /64
    /// network.
    pub(super) fn client(addr: IpAddr) -> Owner {
        Owner::Client(match addr.to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The names that connections wait for. Each waiting entry belongs to an open connection, so
/// [`Options::max_connections`](crate::Options::max_connections) bounds them. Nothing searches all
/// of them: only the owners that occupy threads, which are few, are passed over.
#[derive(Debug)]
pub(super) struct Names {
    lookups: HashMap<String, Lookup>,
    /// What each owner waits for a thread for; no queue is empty.
    queues: HashMap<Owner, Queue>,
    /// The owners of the queues in turns; the first is next.
    turns: BTreeMap<u64, Owner>,
    /// The number of the next entry of `turns`, or of a queue.
    next_place: u64,
    /// How many threads each owner occupies; no entry is 0.
    threads: HashMap<Owner, usize>,
    running: usize,
    /// The limit of threads.
    max_threads: usize,
}

/// The names that an owner waits for and that no thread looks up.
#[derive(Debug)]
struct Queue {
    /// The key of the owner in `turns`.
    turn: u64,
    /// In the order in which they were requested.
    hosts: BTreeMap<u64, String>,
    /// The keys in `hosts`.
    places: HashMap<String, u64>,
}

#[derive(Debug, Default)]
struct Lookup {
    waiting: BTreeMap<SocketId, Owner>,
    /// How many of those that wait each owner has; no entry is 0.
    owners: HashMap<Owner, usize>,
    /// The owner whose thread looks it up, if one does.
    running_for: Option<Owner>,
}

impl Names {
    pub(super) fn new(max_threads: usize) -> Names {
        Names {
            lookups: HashMap::new(),
            queues: HashMap::new(),
            turns: BTreeMap::new(),
            next_place: 0,
            threads: HashMap::new(),
            running: 0,
            max_threads,
        }
    }

    /// Adds a connection that waits for `host`.
    pub(super) fn request(&mut self, host: &str, owner: Owner, id: SocketId) {
        let lookup = self.lookups.entry(host.to_string()).or_default();
        lookup.waiting.insert(id, owner);
        *lookup.owners.entry(owner).or_default() += 1;
        // A name that another owner waits for is queued for this owner too, whose turn may come
        // earlier.
        if lookup.running_for.is_none() {
            self.enqueue(host, owner);
        }
    }

    fn enqueue(&mut self, host: &str, owner: Owner) {
        let place = self.next_place;
        self.next_place += 1;
        let queue = self.queues.entry(owner).or_insert_with(|| {
            self.turns.insert(place, owner);
            Queue { turn: place, hosts: BTreeMap::new(), places: HashMap::new() }
        });
        if !queue.places.contains_key(host) {
            queue.hosts.insert(place, host.to_string());
            queue.places.insert(host.to_string(), place);
        }
    }

    fn dequeue(&mut self, host: &str, owner: Owner) {
        let Some(queue) = self.queues.get_mut(&owner) else { return };
        if let Some(place) = queue.places.remove(host) {
            queue.hosts.remove(&place);
        }
        if queue.hosts.is_empty() {
            self.turns.remove(&queue.turn);
            self.queues.remove(&owner);
        }
    }

    /// The name to be looked up next, if a thread is free for it.
    pub(super) fn next(&mut self) -> Option<String> {
        if self.running >= self.max_threads {
            return None;
        }
        let owner = self.turns.values().copied().find(|owner| self.has_thread_for(*owner))?;
        let host = self.queues.get(&owner)?.hosts.first_key_value()?.1.clone();
        self.start(&host, owner);
        Some(host)
    }

    /// Whether an owner may occupy one more thread: it occupies fewer than are free. So a single
    /// owner gets half of them, and one is left for the next owner.
    fn has_thread_for(&self, owner: Owner) -> bool {
        let threads = self.threads.get(&owner).copied().unwrap_or(0);
        threads < self.max_threads.saturating_sub(self.running)
    }

    /// Takes the name out of every queue; the owner is the last in turn from now on.
    fn start(&mut self, host: &str, owner: Owner) {
        self.running += 1;
        *self.threads.entry(owner).or_default() += 1;
        let Some(lookup) = self.lookups.get_mut(host) else { return };
        lookup.running_for = Some(owner);
        let owners: Vec<Owner> = lookup.owners.keys().copied().collect();
        for one in owners {
            self.dequeue(host, one);
        }
        if let Some(queue) = self.queues.get_mut(&owner) {
            self.turns.remove(&queue.turn);
            queue.turn = self.next_place;
            self.turns.insert(self.next_place, owner);
            self.next_place += 1;
        }
    }

    /// Frees the thread of a name and returns the connections that wait for it.
    pub(super) fn finish(&mut self, host: &str) -> Vec<SocketId> {
        let Some(lookup) = self.lookups.remove(host) else { return Vec::new() };
        if let Some(owner) = lookup.running_for {
            self.running -= 1;
            if let Some(threads) = self.threads.get_mut(&owner) {
                *threads -= 1;
                if *threads == 0 {
                    self.threads.remove(&owner);
                }
            }
        }
        lookup.waiting.into_keys().collect()
    }

    /// Removes a connection that waited. A thread that looks up its name goes on, because it cannot
    /// be stopped.
    pub(super) fn cancel(&mut self, host: &str, id: SocketId) {
        let Some(lookup) = self.lookups.get_mut(host) else { return };
        let Some(owner) = lookup.waiting.remove(&id) else { return };
        let Some(count) = lookup.owners.get_mut(&owner) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        lookup.owners.remove(&owner);
        if lookup.running_for.is_some() {
            return;
        }
        if lookup.waiting.is_empty() {
            self.lookups.remove(host);
        }
        self.dequeue(host, owner);
    }
}

#[cfg(test)]
mod tests;
