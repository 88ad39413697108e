//! Who listens to which channel.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use socketserver::SocketId;

use crate::clients::Record;

/// Channels of one client.
pub(crate) const MAX_CHANNELS: usize = 1_024;
/// Bytes of the name of a channel.
pub(crate) const MAX_NAME: usize = 1_024;

#[derive(Default)]
pub(crate) struct Channels(HashMap<Box<[u8]>, Listeners>);

type Listeners = BTreeMap<SocketId, Rc<Record>>;

impl Channels {
    pub(crate) fn join(&mut self, channel: &[u8], client: &Rc<Record>) {
        let listeners = self.0.entry(channel.into()).or_default();
        listeners.insert(client.socket, Rc::clone(client));
    }

    /// A channel without clients is forgotten.
    pub(crate) fn leave(&mut self, channel: &[u8], client: SocketId) {
        let Some(clients) = self.0.get_mut(channel) else { return };
        clients.remove(&client);
        if clients.is_empty() {
            self.0.remove(channel);
        }
    }

    pub(crate) fn clients(&self, channel: &[u8]) -> impl Iterator<Item = &Rc<Record>> {
        self.0.get(channel).into_iter().flat_map(BTreeMap::values)
    }
}
