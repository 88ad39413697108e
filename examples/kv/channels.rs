//! Which clients subscribe to which channel.
//!
//! Each name is stored once and shared by the channel and its subscribers. A closed client is
//! unsubscribed in steps, so that many closed clients with many channels do not delay the others.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use socketserver::SocketId;

use crate::clients::ClientRecord;
use crate::entries::Entries;
use crate::memory::{CommandResult, Memory, Reservation};

/// Most channels of one client.
pub(crate) const MAX_CHANNELS: usize = 1_024;
/// Longest name of a channel, in bytes.
pub(crate) const MAX_NAME: usize = 1_024;
/// Approximate cost of one subscription in bytes, without the channel's name.
const COST: usize = 192;

#[derive(Default)]
pub(crate) struct Channels {
    subscribers: Entries<Rc<[u8]>, Subscribers>,
    pending_unsubscribes: VecDeque<(SocketId, Subscriptions)>,
}

/// Sorted by socket. Usually there is one.
type Subscribers = Vec<Rc<ClientRecord>>;

/// The channels that one client listens to.
pub(crate) struct Subscriptions {
    names: BTreeSet<Rc<[u8]>>,
    reserved: Reservation,
}

impl Channels {
    pub(crate) fn subscribe(
        &mut self,
        subscriptions: &mut Subscriptions,
        channel: &[u8],
        client: &Rc<ClientRecord>,
    ) -> CommandResult {
        if channel.len() > MAX_NAME
            || subscriptions.len() >= MAX_CHANNELS && !subscriptions.has(channel)
        {
            return Err("ERR too many channels, or a name that is too long");
        }
        if subscriptions.has(channel) {
            return Ok(());
        }
        subscriptions.reserved.reserve(cost(channel))?;
        let known = self.subscribers.get_key_value(channel);
        let name = known.map_or_else(|| Rc::from(channel), |(name, _)| Rc::clone(name));
        if let Some(subscribers) = self.subscribers.get_mut(channel) {
            let place = subscribers.partition_point(|other| other.socket < client.socket);
            subscribers.insert(place, Rc::clone(client));
        } else {
            self.subscribers.insert(Rc::clone(&name), vec![Rc::clone(client)]);
        }
        subscriptions.names.insert(name);
        Ok(())
    }

    /// Removes a subscription, and the channel after its last one.
    pub(crate) fn unsubscribe(
        &mut self,
        subscriptions: &mut Subscriptions,
        channel: &[u8],
        client: SocketId,
    ) {
        if subscriptions.names.remove(channel) {
            subscriptions.reserved.release(cost(channel));
            self.remove(channel, client);
        }
    }

    fn remove(&mut self, channel: &[u8], client: SocketId) {
        let Some(subscribers) = self.subscribers.get_mut(channel) else { return };
        let place = subscribers.binary_search_by_key(&client, |subscriber| subscriber.socket);
        if let Ok(place) = place {
            subscribers.remove(place);
        }
        if subscribers.is_empty() {
            self.subscribers.remove(channel);
        }
    }

    /// Queues the subscriptions of a closed client for [`Channels::unsubscribe_some`].
    pub(crate) fn unsubscribe_later(&mut self, client: SocketId, subscriptions: Subscriptions) {
        if !subscriptions.names.is_empty() {
            self.pending_unsubscribes.push_back((client, subscriptions));
        }
    }

    pub(crate) fn has_pending_unsubscribes(&self) -> bool {
        !self.pending_unsubscribes.is_empty()
    }

    /// Removes at most `most` subscriptions of closed clients.
    pub(crate) fn unsubscribe_some(&mut self, most: usize) {
        for _ in 0..most {
            let Some((client, subscriptions)) = self.pending_unsubscribes.front_mut() else {
                return;
            };
            let client = *client;
            match subscriptions.names.pop_first() {
                Some(name) => self.remove(&name, client),
                None => drop(self.pending_unsubscribes.pop_front()),
            }
        }
    }

    pub(crate) fn clients(&self, channel: &[u8]) -> impl Iterator<Item = &Rc<ClientRecord>> {
        let subscribers = self.subscribers.get(channel).into_iter().flatten();
        subscribers.filter(|client| !client.is_closed.get())
    }
}

impl Subscriptions {
    pub(crate) fn new(memory: &Rc<Memory>) -> Subscriptions {
        Subscriptions { names: BTreeSet::new(), reserved: Reservation::new(memory) }
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
