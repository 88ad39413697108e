//! The protocol between the servers of a cluster, without any socket.
//!
//! Each server receives each line of every other server once and in order, although Redis stores
//! nothing and may be away. A server numbers its lines and keeps the last of them. A server that sees
//! a gap in the numbers requests the missing lines; a line received twice is recognised by its number.
//!
//! | message | meaning |
//! |---|---|
//! | `who ID N` | server ID is there and its last line has number N; every other server answers |
//! | `here ID N` | the answer to it |
//! | `line ID N TEXT` | a member of server ID sent TEXT |
//! | `again ID N` | a request for the lines of server ID after number N |
//! | `lost ID N` | the lines of server ID up to number N are not kept any more |

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Lines kept for servers that missed them, for example while Redis was away. Older lines are lost
/// to those servers, which report the count to their members.
pub(crate) const KEPT_LINES: usize = 1_000;
/// Most known servers; one more clears the list, and each is known again with its next message.
const KNOWN_SERVERS: usize = 1_000;

pub(crate) struct Cluster {
    id: String,
    /// Number of the last line of this server's members.
    said: u64,
    kept: VecDeque<Vec<u8>>,
    others: HashMap<Vec<u8>, PeerServer>,
}

struct PeerServer {
    /// Number of the last line delivered to our members.
    seen: u64,
    /// The lines after this number are requested.
    asked: Option<u64>,
}

/// What a message causes: lines for our members, and messages for the other servers.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Actions {
    pub(crate) tell: Vec<Vec<u8>>,
    pub(crate) publish: Vec<Vec<u8>>,
}

impl Cluster {
    pub(crate) fn new() -> Cluster {
        Cluster::named(format!("{:016x}", RandomState::new().hash_one(std::process::id())))
    }

    /// `id` must be unique in the cluster and contain no space.
    pub(crate) fn named(id: String) -> Cluster {
        Cluster { id, said: 0, kept: VecDeque::new(), others: HashMap::new() }
    }

    /// Records a line of a member. Returns the message to publish.
    pub(crate) fn say(&mut self, text: &[u8]) -> Vec<u8> {
        self.said += 1;
        if self.kept.len() >= KEPT_LINES {
            self.kept.pop_front();
        }
        self.kept.push_back(text.to_vec());
        self.line(self.said, text)
    }

    /// The message to publish whenever lines may have been missed in either direction.
    pub(crate) fn who(&self) -> Vec<u8> {
        format!("who {} {}", self.id, self.said).into_bytes()
    }

    pub(crate) fn receive(&mut self, message: &[u8]) -> Actions {
        let mut actions = Actions::default();
        let mut words = message.splitn(4, |byte| *byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (kind, id, number, text) = (word(), word(), word(), word());
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        let Some(number) = number else { return actions };
        match kind {
            b"again" if id == self.id.as_bytes() => self.repeat_after(number, &mut actions),
            _ if id == self.id.as_bytes() => {}
            b"line" => self.receive_line(id, number, text, &mut actions),
            b"lost" => self.receive_loss(id, number, &mut actions),
            b"who" => {
                actions.publish.push(format!("here {} {}", self.id, self.said).into_bytes());
                self.compare(id, number, &mut actions);
            }
            b"here" => self.compare(id, number, &mut actions),
            _ => {}
        }
        actions
    }

    fn line(&self, number: u64, text: &[u8]) -> Vec<u8> {
        [format!("line {} {number} ", self.id).as_bytes(), text].concat()
    }

    fn repeat_after(&self, number: u64, actions: &mut Actions) {
        let before_kept = self.said - self.kept.len() as u64;
        if number < before_kept {
            actions.publish.push(format!("lost {} {before_kept}", self.id).into_bytes());
        }
        for (nth, text) in (before_kept + 1..).zip(&self.kept).filter(|(nth, _)| *nth > number) {
            actions.publish.push(self.line(nth, text));
        }
    }

    /// Returns a server's entry. For a new server, `seen` is where its lines begin.
    fn other(&mut self, id: &[u8], seen: u64) -> &mut PeerServer {
        if self.others.len() >= KNOWN_SERVERS && !self.others.contains_key(id) {
            self.others.clear();
        }
        self.others.entry(id.to_vec()).or_insert(PeerServer { seen, asked: None })
    }

    fn receive_line(&mut self, id: &[u8], number: u64, text: &[u8], actions: &mut Actions) {
        let other = self.other(id, number.saturating_sub(1));
        let next = other.seen.saturating_add(1);
        if number == next {
            other.seen = number;
            actions.tell.push(text.to_vec());
        } else if number > next && other.asked != Some(other.seen) {
            other.ask(id, actions);
        }
    }

    fn receive_loss(&mut self, id: &[u8], number: u64, actions: &mut Actions) {
        let other = self.other(id, number);
        if number > other.seen {
            let lines = number - other.seen;
            actions.tell.push(format!("* {lines} lines of others were lost").into_bytes());
            other.seen = number;
        }
    }

    fn compare(&mut self, id: &[u8], number: u64, actions: &mut Actions) {
        let other = self.other(id, number);
        if number > other.seen {
            other.ask(id, actions);
        }
    }
}

impl PeerServer {
    fn ask(&mut self, id: &[u8], actions: &mut Actions) {
        self.asked = Some(self.seen);
        let id = String::from_utf8_lossy(id);
        actions.publish.push(format!("again {id} {}", self.seen).into_bytes());
    }
}
