//! The keys and their values, within a bound, and the order in which some of them expire.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::resp::integer;

/// What an entry costs besides its key and value, about.
const ENTRY: usize = 160;

pub(crate) struct Store {
    entries: Entries,
    deadlines: BTreeMap<Deadline, Box<[u8]>>,
    /// So many deadlines have been given out.
    numbered: u64,
    /// What all entries cost, never above the limit.
    used: usize,
    limit: usize,
    /// The time of the present turn of the loop.
    pub(crate) now: Instant,
}

/// The hash of the standard library has a secret key, so nobody can make all keys collide.
type Entries = HashMap<Box<[u8]>, Entry>;

struct Entry {
    value: Vec<u8>,
    deadline: Option<Deadline>,
}

/// When something expires; the number tells those of the same time apart.
type Deadline = (Instant, u64);

/// What becomes of the deadline of a key that is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expiry {
    Never,
    Keep,
    At(Instant),
}

/// Why a command is not done, as the client is told.
pub(crate) type Refused = &'static str;

pub(crate) const NO_INTEGER: Refused = "ERR value is not an integer or out of range";
const OVERFLOW: Refused = "ERR increment or decrement would overflow";
const FULL: Refused = "OOM command not allowed when used memory > 'maxmemory'.";

impl Store {
    pub(crate) fn new(limit: usize, now: Instant) -> Store {
        let (entries, deadlines) = (HashMap::new(), BTreeMap::new());
        Store { entries, deadlines, numbered: 0, used: 0, limit, now }
    }

    /// A key whose time is over is as good as gone, even if nobody has removed it yet.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).filter(|entry| !entry.is_over(self.now)).map(|entry| &entry.value[..])
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), Refused> {
        let Some(entry) = live(&mut self.entries, key, self.now) else {
            self.remove(key);
            return self.insert(key, value, expiry);
        };
        let before = entry.value.len();
        if value.len() > before && value.len() - before > self.limit - self.used {
            return Err(FULL);
        }
        self.used = self.used + value.len() - before;
        entry.value.clear();
        entry.value.extend_from_slice(value);
        entry.value.shrink_to(2 * value.len() + ENTRY);
        match expiry {
            Expiry::Never if entry.deadline.is_some() => self.expire(key, None),
            Expiry::At(at) => self.expire(key, Some(at)),
            Expiry::Never | Expiry::Keep => true,
        };
        Ok(())
    }

    fn insert(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), Refused> {
        let cost = cost(key, value);
        if cost > self.limit - self.used {
            return Err(FULL);
        }
        self.used += cost;
        self.entries.insert(key.into(), Entry { value: value.into(), deadline: None });
        if let Expiry::At(at) = expiry {
            self.expire(key, Some(at));
        }
        Ok(())
    }

    /// Adds to the number that a key holds.
    pub(crate) fn add(&mut self, key: &[u8], more: i64) -> Result<i64, Refused> {
        let before = self.get(key).map_or(Some(0), integer).ok_or(NO_INTEGER)?;
        let after = before.checked_add(more).ok_or(OVERFLOW)?;
        self.set(key, after.to_string().as_bytes(), Expiry::Keep)?;
        Ok(after)
    }

    /// Whether there was such a key; now there is none.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return false };
        self.used -= cost(&key, &entry.value);
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&deadline);
        }
        !entry.is_over(self.now)
    }

    pub(crate) fn clear(&mut self) {
        *self = Store::new(self.limit, self.now);
    }

    /// Sets or takes away the deadline of a key; `false` when there is no such key.
    pub(crate) fn expire(&mut self, key: &[u8], at: Option<Instant>) -> bool {
        let Some(entry) = live(&mut self.entries, key, self.now) else { return false };
        if let Some(deadline) = entry.deadline.take() {
            self.deadlines.remove(&deadline);
        }
        if let Some(at) = at {
            self.numbered += 1;
            entry.deadline = Some((at, self.numbered));
            self.deadlines.insert((at, self.numbered), key.into());
        }
        true
    }

    /// How long a key will still be there, if it is and that has an end.
    pub(crate) fn time_left(&self, key: &[u8]) -> Option<Duration> {
        let (at, _) = self.entries.get(key)?.deadline?;
        Some(at.saturating_duration_since(self.now)).filter(|left| !left.is_zero())
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes the keys whose time is over, but not more than so many at once.
    pub(crate) fn remove_expired(&mut self, most: usize) {
        for _ in 0..most {
            match self.deadlines.first_entry() {
                Some(first) if first.key().0 <= self.now => {
                    let key = first.remove();
                    self.remove(&key);
                }
                _ => return,
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn expiring(&self) -> usize {
        self.deadlines.len()
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|(at, _)| at <= now)
    }
}

/// The entry of a key, unless its time is over.
fn live<'e>(entries: &'e mut Entries, key: &[u8], now: Instant) -> Option<&'e mut Entry> {
    entries.get_mut(key).filter(|entry| !entry.is_over(now))
}

/// A key that expires lies here twice.
fn cost(key: &[u8], value: &[u8]) -> usize {
    ENTRY + 2 * key.len() + value.len()
}
