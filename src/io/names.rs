//! The queue of name look-ups: which one is next, and for which owner.
//!
//! getaddrinfo(3) blocks, sometimes for half a minute, and cannot be cancelled. So each look-up
//! that runs occupies a thread, and threads are few. One client that asks for many names must not
//! occupy all of them: an [`Owner`] may occupy as many threads as it leaves free, and owners take
//! turns. Equal names are looked up once. This file starts no thread; [`crate::io::resolver`] does.

use std::collections::{HashMap, VecDeque};
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
/// [`Options::max_connections`](crate::Options::max_connections) bounds them.
#[derive(Debug)]
pub(super) struct Names {
    lookups: HashMap<String, Lookup>,
    /// The queue of each owner that waits for a thread, in turns; the front is next. None is empty.
    queues: VecDeque<Queue>,
    /// How many threads each owner occupies; no entry is 0.
    threads: HashMap<Owner, usize>,
    running: usize,
    /// The limit of threads.
    max_threads: usize,
}

#[derive(Debug)]
struct Queue {
    owner: Owner,
    hosts: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Lookup {
    waiting: Vec<(SocketId, Owner)>,
    /// The owner whose thread looks it up, if one does.
    running_for: Option<Owner>,
}

impl Names {
    pub(super) fn new(max_threads: usize) -> Names {
        Names {
            lookups: HashMap::new(),
            queues: VecDeque::new(),
            threads: HashMap::new(),
            running: 0,
            max_threads,
        }
    }

    /// Adds a connection that waits for `host`.
    pub(super) fn request(&mut self, host: &str, owner: Owner, id: SocketId) {
        let lookup = self.lookups.entry(host.to_string()).or_default();
        lookup.waiting.push((id, owner));
        if lookup.running_for.is_some() {
            return;
        }
        // A name that another owner waits for is queued for this owner too, whose turn may come
        // earlier.
        match self.queues.iter_mut().find(|queue| queue.owner == owner) {
            Some(queue) if queue.hosts.iter().any(|one| one == host) => {}
            Some(queue) => queue.hosts.push_back(host.to_string()),
            None => self.queues.push_back(Queue { owner, hosts: [host.to_string()].into() }),
        }
    }

    /// The name to be looked up next, if a thread is free for it.
    pub(super) fn next(&mut self) -> Option<String> {
        for _ in 0..self.queues.len() {
            let mut queue = self.queues.pop_front()?;
            let host = if self.has_thread_for(queue.owner) {
                self.take_runnable(&mut queue)
            } else {
                None
            };
            let owner = queue.owner;
            if !queue.hosts.is_empty() {
                self.queues.push_back(queue);
            }
            if let Some(host) = host {
                self.start(&host, owner);
                return Some(host);
            }
        }
        None
    }

    /// Whether an owner may occupy one more thread: it occupies fewer than are free. So a single
    /// owner gets half of them, and one is left for the next owner.
    fn has_thread_for(&self, owner: Owner) -> bool {
        let threads = self.threads.get(&owner).copied().unwrap_or(0);
        threads < self.max_threads.saturating_sub(self.running)
    }

    /// The first name of a queue that a connection still waits for and no thread looks up.
    fn take_runnable(&self, queue: &mut Queue) -> Option<String> {
        let wanted = |host: &String| {
            self.lookups.get(host).is_some_and(|lookup| lookup.running_for.is_none())
        };
        while let Some(host) = queue.hosts.pop_front() {
            if wanted(&host) {
                return Some(host);
            }
        }
        None
    }

    fn start(&mut self, host: &str, owner: Owner) {
        self.running += 1;
        *self.threads.entry(owner).or_default() += 1;
        if let Some(lookup) = self.lookups.get_mut(host) {
            lookup.running_for = Some(owner);
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
        lookup.waiting.into_iter().map(|(id, _)| id).collect()
    }

    /// Removes a connection that waited. A thread that looks up its name goes on, because it cannot
    /// be stopped.
    pub(super) fn cancel(&mut self, host: &str, id: SocketId) {
        let Some(lookup) = self.lookups.get_mut(host) else { return };
        let Some(nth) = lookup.waiting.iter().position(|(one, _)| *one == id) else { return };
        let (_, owner) = lookup.waiting.swap_remove(nth);
        if lookup.running_for.is_some() {
            return;
        }
        if !lookup.waiting.iter().any(|(_, one)| *one == owner) {
            if let Some(queue) = self.queues.iter_mut().find(|queue| queue.owner == owner) {
                queue.hosts.retain(|one| one != host);
            }
            self.queues.retain(|queue| !queue.hosts.is_empty());
        }
        if lookup.waiting.is_empty() {
            self.lookups.remove(host);
        }
    }
}

#[cfg(test)]
mod tests;
