//! What the servers of a cluster tell each other, so that each gets every line of every other once
//! and in order, although Redis keeps nothing and may go and come back.
//!
//! A server numbers its lines and keeps the last of them. Who notices a gap asks for what is missing;
//! what comes twice is recognised by its number. Nothing here knows of sockets.
//!
//! | message | says |
//! |---|---|
//! | `who ID N` | I am here, and my last line was number N; who else? |
//! | `here ID N` | so am I |
//! | `line ID N TEXT` | somebody said this to me |
//! | `again ID N` | I miss the lines of ID after number N |
//! | `lost ID N` | nobody has my lines up to number N any more |

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Lines kept for servers that did not hear them, say because Redis is away. Older ones are lost to
/// them, and their members are told how many.
pub(crate) const KEPT_LINES: usize = 1_000;
/// Servers that are remembered; above that all are forgotten, and met again when they next speak.
const KNOWN_SERVERS: usize = 1_000;

pub(crate) struct Cluster {
    id: String,
    /// How many lines were said here, and the last of them.
    said: u64,
    kept: VecDeque<Vec<u8>>,
    others: HashMap<Vec<u8>, PeerServer>,
}

struct PeerServer {
    /// The number of the last line that our members have seen.
    seen: u64,
    /// The lines after this one were asked for.
    asked: Option<u64>,
}

/// What follows from a message: what to tell our members, and what to tell the other servers.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Actions {
    pub(crate) tell: Vec<Vec<u8>>,
    pub(crate) publish: Vec<Vec<u8>>,
}

impl Cluster {
    pub(crate) fn new() -> Cluster {
        Cluster::named(format!("{:016x}", RandomState::new().hash_one(std::process::id())))
    }

    /// No other server may have the same `id`, in which there is no space.
    pub(crate) fn named(id: String) -> Cluster {
        Cluster { id, said: 0, kept: VecDeque::new(), others: HashMap::new() }
    }

    /// Somebody said something here; gives what to publish.
    pub(crate) fn say(&mut self, text: &[u8]) -> Vec<u8> {
        self.said += 1;
        if self.kept.len() >= KEPT_LINES {
            self.kept.pop_front();
        }
        self.kept.push_back(text.to_vec());
        self.line(self.said, text)
    }

    /// To be published whenever others may have missed something of us, or we of them.
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

    /// A server that we meet for the first time owes us nothing that it said before.
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
