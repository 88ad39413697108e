//! Who listens to which channel.
//!
//! A name lies here once, for the channel and for all who listen to it. A client that is gone leaves
//! its channels in steps, so that nobody waits when many with many of them go at once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use socketserver::SocketId;

use crate::clients::Record;
use crate::memory::{Memory, Refused, Taken};

/// Channels of one client.
pub(crate) const MAX_CHANNELS: usize = 1_024;
/// Bytes of the name of a channel.
pub(crate) const MAX_NAME: usize = 1_024;
/// What a client costs that listens to a channel, besides its name, about.
const COST: usize = 192;

#[derive(Default)]
pub(crate) struct Channels {
    listeners: HashMap<Rc<[u8]>, Listeners>,
    leaving: VecDeque<(SocketId, Joined)>,
}

/// In the order of their sockets; usually there is one.
type Listeners = Vec<Rc<Record>>;

/// The channels that one client listens to.
pub(crate) struct Joined {
    names: BTreeSet<Rc<[u8]>>,
    taken: Taken,
}

impl Channels {
    pub(crate) fn join(
        &mut self,
        joined: &mut Joined,
        channel: &[u8],
        client: &Rc<Record>,
    ) -> Result<(), Refused> {
        if channel.len() > MAX_NAME || joined.len() >= MAX_CHANNELS && !joined.has(channel) {
            return Err("ERR too many channels, or too long a name");
        }
        if joined.has(channel) {
            return Ok(());
        }
        joined.taken.take(cost(channel))?;
        let known = self.listeners.get_key_value(channel);
        let name = known.map_or_else(|| Rc::from(channel), |(name, _)| Rc::clone(name));
        let listeners =
            self.listeners.entry(Rc::clone(&name)).or_insert_with(|| Vec::with_capacity(1));
        let place = listeners.partition_point(|other| other.socket < client.socket);
        listeners.insert(place, Rc::clone(client));
        joined.names.insert(name);
        Ok(())
    }

    /// A channel without clients is forgotten.
    pub(crate) fn leave(&mut self, joined: &mut Joined, channel: &[u8], client: SocketId) {
        if joined.names.remove(channel) {
            joined.taken.give_back(cost(channel));
            self.remove(channel, client);
        }
    }

    fn remove(&mut self, channel: &[u8], client: SocketId) {
        let Some(listeners) = self.listeners.get_mut(channel) else { return };
        let place = listeners.binary_search_by_key(&client, |listener| listener.socket);
        if let Ok(place) = place {
            listeners.remove(place);
        }
        if listeners.is_empty() {
            self.listeners.remove(channel);
        }
    }

    /// A client that is gone listens no more, but only in steps.
    pub(crate) fn leave_later(&mut self, client: SocketId, joined: Joined) {
        if !joined.names.is_empty() {
            self.leaving.push_back((client, joined));
        }
    }

    pub(crate) fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Those who are gone leave no more than so many channels.
    pub(crate) fn leave_some(&mut self, most: usize) {
        for _ in 0..most {
            let Some((client, joined)) = self.leaving.front_mut() else { return };
            let client = *client;
            match joined.names.pop_first() {
                Some(name) => self.remove(&name, client),
                None => drop(self.leaving.pop_front()),
            }
        }
    }

    pub(crate) fn clients(&self, channel: &[u8]) -> impl Iterator<Item = &Rc<Record>> {
        let listeners = self.listeners.get(channel).into_iter().flatten();
        listeners.filter(|client| !client.is_gone.get())
    }
}

impl Joined {
    pub(crate) fn new(memory: &Rc<Memory>) -> Joined {
        Joined { names: BTreeSet::new(), taken: Taken::new(memory) }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn has(&self, channel: &[u8]) -> bool {
        self.names.contains(channel)
    }

    pub(crate) fn first(&self) -> Option<Rc<[u8]>> {
        self.names.first().cloned()
    }
}

fn cost(channel: &[u8]) -> usize {
    COST + channel.len()
}
