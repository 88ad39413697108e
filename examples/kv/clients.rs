//! The table of clients, and the record that other clients may read of each.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Instant;

use socketserver::SocketId;

use crate::replies::Protocol;
use crate::slow_subscriber::SlowSubscriber;

/// Longest attribute in bytes.
const MAX_ATTRIBUTE: usize = 256;
/// Approximate cost of an idle client in bytes: its record, its handler and its row in the library.
const CLIENT: usize = 1_024;

/// All clients by number.
#[derive(Debug, Default)]
pub(crate) struct ClientTable {
    by_number: BTreeMap<u64, Rc<ClientRecord>>,
    /// The number of the newest client.
    last_number: u64,
}

/// What other clients may read of a client.
#[derive(Debug)]
pub(crate) struct ClientRecord {
    pub(crate) number: u64,
    pub(crate) socket: SocketId,
    pub(crate) addr: String,
    pub(crate) local_addr: String,
    pub(crate) since: Instant,
    pub(crate) protocol: Cell<Protocol>,
    /// Set by `finish`.
    pub(crate) is_closed: Cell<bool>,
    /// Time and name of the last command.
    pub(crate) last_active: Cell<Instant>,
    pub(crate) command: Cell<&'static str>,
    pub(crate) channels: Cell<usize>,
    pub(crate) watched: Cell<usize>,
    /// Commands in the queue of an open transaction; `None` outside of one.
    pub(crate) queued: Cell<Option<usize>>,
    /// Bytes of input and of the command being parsed, after the last call of its handler.
    pub(crate) input: Cell<usize>,
    pub(crate) slow: SlowSubscriber,
    attributes: RefCell<Attributes>,
}

/// The memory of one client in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientMemory {
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl ClientMemory {
    /// With what every client costs.
    pub(crate) fn sum(self) -> usize {
        CLIENT + self.input + self.output
    }
}

#[derive(Debug, Default)]
struct Attributes {
    name: String,
    library: String,
    version: String,
}

/// What a client may say about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attribute {
    Name,
    Library,
    Version,
}

impl ClientTable {
    /// Returns a number that no client had before.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn add(&mut self, record: &Rc<ClientRecord>) {
        self.by_number.insert(record.number, Rc::clone(record));
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.by_number.remove(&number);
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Rc<ClientRecord>> {
        self.by_number.get(&number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<ClientRecord>> {
        self.by_number.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }
}

impl ClientRecord {
    pub(crate) fn new(
        number: u64,
        socket: SocketId,
        addr: [String; 2],
        now: Instant,
    ) -> ClientRecord {
        let [addr, local_addr] = addr;
        ClientRecord {
            number,
            socket,
            addr,
            local_addr,
            since: now,
            protocol: Cell::default(),
            is_closed: Cell::default(),
            last_active: Cell::new(now),
            command: Cell::new("NULL"),
            channels: Cell::default(),
            watched: Cell::default(),
            queued: Cell::default(),
            input: Cell::default(),
            slow: SlowSubscriber::default(),
            attributes: RefCell::default(),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.attributes.borrow().name.clone()
    }

    pub(crate) fn clear_name(&self) {
        self.attributes.borrow_mut().name.clear();
    }

    /// Sets an attribute. Returns `false` if `said` is too long or has a character that would need
    /// quotes.
    pub(crate) fn set_attribute(&self, which: Attribute, said: &[u8]) -> bool {
        let is_word = said.len() <= MAX_ATTRIBUTE && said.iter().all(u8::is_ascii_graphic);
        let Some(said) = std::str::from_utf8(said).ok().filter(|_| is_word) else { return false };
        let mut attributes = self.attributes.borrow_mut();
        let word = match which {
            Attribute::Name => &mut attributes.name,
            Attribute::Library => &mut attributes.library,
            Attribute::Version => &mut attributes.version,
        };
        *word = said.into();
        true
    }

    /// Appends the line of `CLIENT LIST`. Fields of features that this server lacks have the values
    /// of a Redis that does not use them.
    pub(crate) fn line(&self, now: Instant, memory: ClientMemory, to: &mut String) {
        let attributes = self.attributes.borrow();
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs();
        let multi = self.queued.get().map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
        let (subscribed, watched) = (self.channels.get(), self.watched.get());
        let flags = match (multi, subscribed) {
            (0.., _) => 'x',
            (_, 1..) => 'P',
            _ => 'N',
        };
        // `fmt::Write` for `String` never fails.
        let _ = writeln!(
            to,
            "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={flags} db=0 \
             sub={subscribed} psub=0 ssub=0 multi={multi} watch={watched} qbuf={} qbuf-free=0 \
             argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={} tot-mem={} events=r cmd={} \
             user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.number,
            self.addr,
            self.local_addr,
            attributes.name,
            seconds(self.since),
            seconds(self.last_active.get()),
            memory.input,
            memory.output,
            memory.sum(),
            self.command.get(),
            self.protocol.get().number(),
            attributes.library,
            attributes.version,
        );
    }
}
