//! Names that are looked up: which one next, and on whose behalf.
//!
//! The system's look-up blocks, sometimes for half a minute, and cannot be called off. So each one
//! under way holds a thread, threads are few, and who asks for many names must not take them all:
//! an [`Owner`] may hold as many as are left over for the others, and owners take turns. Equal names
//! are looked up once. This file knows no thread; see [`crate::io::resolver`].

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use crate::id::SocketId;

/// On whose behalf a name is looked up.
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
    /// The client at this address. Who has one IPv6 address usually has all of its /64 network.
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

/// The names that somebody waits for. Each waiting entry belongs to an open connection, so
/// [`Options::max_connections`](crate::Options::max_connections) bounds them.
#[derive(Debug)]
pub(super) struct Names {
    lookups: HashMap<String, Lookup>,
    /// Who waits for a thread, in turns; the front has the next one. None of them is empty.
    queues: VecDeque<Queue>,
    /// How many threads each owner holds; none of them is 0.
    threads: HashMap<Owner, usize>,
    running: usize,
    /// How many threads there may be.
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
    /// Whose thread is at it, if one is.
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

    /// A connection waits for a name.
    pub(super) fn request(&mut self, host: &str, owner: Owner, id: SocketId) {
        let lookup = self.lookups.entry(host.to_string()).or_default();
        lookup.waiting.push((id, owner));
        if lookup.running_for.is_some() {
            return;
        }
        // Who asks for what somebody else waits for need not wait as long as that one.
        match self.queues.iter_mut().find(|queue| queue.owner == owner) {
            Some(queue) if queue.hosts.iter().any(|one| one == host) => {}
            Some(queue) => queue.hosts.push_back(host.to_string()),
            None => self.queues.push_back(Queue { owner, hosts: [host.to_string()].into() }),
        }
    }

    /// The name that is to be looked up now, by a thread that is free.
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

    /// Whether an owner may hold one more thread: it holds fewer than are free. So one alone has
    /// half of them, and there is one for whoever comes after it.
    fn has_thread_for(&self, owner: Owner) -> bool {
        let threads = self.threads.get(&owner).copied().unwrap_or(0);
        threads < self.max_threads.saturating_sub(self.running)
    }

    /// The first name of a queue that somebody still waits for, and no thread is at.
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

    /// A thread is done with a name; these connections wait for it.
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

    /// A connection waits no more. A thread that is at its name goes on, since nothing stops it.
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
