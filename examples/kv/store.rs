//! The keys with their values and deadlines, within the memory limit.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use crate::clock::{Clock, Millis};
use crate::entries::Entries;
use crate::large::{Large, MAX_VALUE, PIECE};
use crate::memory::{CommandError, CommandResult, Memory};
use crate::missing_keys::MissingKeys;
use crate::number::integer;
use crate::value::{Value, ValueRef};

/// Approximate cost of an entry in bytes, without key and value.
const ENTRY: usize = 160;

pub(crate) struct Store {
    entries: Entries<Box<[u8]>, Entry>,
    deadlines: BTreeMap<Deadline, Box<[u8]>>,
    /// Count of changes.
    changes: u64,
    pub(crate) memory: Rc<Memory>,
    /// Watched keys that do not exist.
    pub(crate) missing_keys: Rc<MissingKeys>,
    pub(crate) clock: Clock,
    /// The time of this turn.
    now: Millis,
}

struct Entry {
    value: Value,
    deadline: Option<Deadline>,
    /// The number of the entry's last change, unique in the store.
    version: u64,
}

/// A deadline, and a number that makes it unique.
type Deadline = (Millis, u64);

/// What a command does to the deadline of a key, or what it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expiry {
    Never,
    Keep,
    At(Millis),
}

pub(crate) const NO_INTEGER: CommandError = "ERR value is not an integer or out of range";
const OVERFLOW: CommandError = "ERR increment or decrement would overflow";
const TOO_LONG: CommandError = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

impl Store {
    pub(crate) fn new(limit: usize, now: Instant) -> Store {
        let clock = Clock::new(now);
        Store {
            entries: Entries::default(),
            deadlines: BTreeMap::new(),
            changes: 0,
            memory: Rc::new(Memory::new(limit)),
            missing_keys: Rc::default(),
            clock,
            now: clock.at(now),
        }
    }

    /// Begins a turn at `now`.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.now = self.clock.at(now);
    }

    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// Returns the value of a key; `None` if the key is missing or past its deadline, even if it
    /// was not removed yet.
    pub(crate) fn get(&self, key: &[u8]) -> Option<ValueRef<'_>> {
        self.live(key).map(|entry| entry.value.bytes())
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.live(key).is_some()
    }

    /// Returns the number of a key's last change; `None` if there is no such key.
    pub(crate) fn version(&self, key: &[u8]) -> Option<u64> {
        self.live(key).map(|entry| entry.version)
    }

    fn live(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| !entry.is_expired(self.now))
    }

    pub(crate) fn set(&mut self, key: &[u8], value: ValueRef<'_>, expiry: Expiry) -> CommandResult {
        let Some(entry) = live(&mut self.entries, key, self.now) else {
            self.remove(key);
            return self.insert(key, value, expiry);
        };
        self.memory.resize(entry.value.bytes().cost(), value.cost())?;
        match (&mut entry.value, value) {
            (Value::Small(before), ValueRef::Small(bytes)) => {
                before.clear();
                before.extend_from_slice(bytes);
                before.shrink_to(2 * bytes.len() + ENTRY);
            }
            (before, value) => *before = value.to_value(),
        }
        self.changes += 1;
        entry.version = self.changes;
        match expiry {
            Expiry::Never if entry.deadline.is_some() => self.expire(key, None),
            Expiry::At(at) => self.expire(key, Some(at)),
            Expiry::Never | Expiry::Keep => true,
        };
        Ok(())
    }

    fn insert(&mut self, key: &[u8], value: ValueRef<'_>, expiry: Expiry) -> CommandResult {
        self.memory.reserve(cost(key, value))?;
        self.changes += 1;
        let entry = Entry { value: value.to_value(), deadline: None, version: self.changes };
        self.entries.insert(key.into(), entry);
        self.missing_keys.created(key);
        if let Expiry::At(at) = expiry {
            self.expire(key, Some(at));
        }
        Ok(())
    }

    /// Sets all pairs, or none of them and returns `Err`.
    pub(crate) fn set_all<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a [u8], ValueRef<'a>)> + Clone,
    ) -> CommandResult {
        let most: usize = pairs.clone().map(|(key, value)| cost(key, value)).sum();
        // The exact growth is computed only near the limit. A key that is named twice counts twice.
        if most > self.memory.available() {
            let growth: usize = pairs.clone().map(|(key, value)| self.growth(key, value)).sum();
            self.memory.reserve(growth)?;
            self.memory.release(growth);
        }
        for (key, value) in pairs {
            self.set(key, value, Expiry::Never)?;
        }
        Ok(())
    }

    fn growth(&self, key: &[u8], value: ValueRef<'_>) -> usize {
        match self.live(key) {
            Some(entry) => value.cost().saturating_sub(entry.value.bytes().cost()),
            None => cost(key, value),
        }
    }

    /// Appends to the value of a key. Returns the new length.
    pub(crate) fn append(&mut self, key: &[u8], more: ValueRef<'_>) -> Result<usize, CommandError> {
        let Some(entry) = live(&mut self.entries, key, self.now) else {
            self.set(key, more, Expiry::Never)?;
            return Ok(more.len());
        };
        let len = entry.value.bytes().len() + more.len();
        if len > MAX_VALUE {
            return Err(TOO_LONG);
        }
        match (&mut entry.value, more) {
            (Value::Small(before), ValueRef::Small(more)) if len <= PIECE => {
                self.memory.reserve(more.len())?;
                before.extend_from_slice(more);
            }
            (Value::Small(before), more) => {
                let mut large = Large::new(&self.memory);
                large.push(before)?;
                large.push_all(more)?;
                self.memory.release(before.len());
                entry.value = Value::Large(large);
            }
            (Value::Large(large), more) => large.push_all(more)?,
        }
        self.changes += 1;
        entry.version = self.changes;
        Ok(len)
    }

    /// Adds `more` to the integer of a key. Returns the sum.
    pub(crate) fn add(&mut self, key: &[u8], more: i64) -> Result<i64, CommandError> {
        let before = self.get(key).map_or(Some(0), |value| integer(value.small()?));
        let after = before.ok_or(NO_INTEGER)?.checked_add(more).ok_or(OVERFLOW)?;
        self.set(key, ValueRef::Small(after.to_string().as_bytes()), Expiry::Keep)?;
        Ok(after)
    }

    /// Removes a key; returns `false` if there is no such key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.remove(key) else { return false };
        self.memory.release(cost(&key, entry.value.bytes()));
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&deadline);
        }
        !entry.is_expired(self.now)
    }

    /// Removes all keys. Their memory is freed in steps.
    pub(crate) fn clear(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let deadlines = std::mem::take(&mut self.deadlines);
        self.memory.free_later(entries.into_iter().map(|(key, entry)| entry.free(&key)));
        self.memory.free_later(deadlines.into_iter().map(|_| 0));
    }

    /// Sets the deadline of a key, or removes it for `None`; returns `false` if there is no such
    /// key.
    pub(crate) fn expire(&mut self, key: &[u8], at: Option<Millis>) -> bool {
        let Some(entry) = live(&mut self.entries, key, self.now) else { return false };
        self.changes += 1;
        entry.version = self.changes;
        if let Some(deadline) = entry.deadline.take() {
            self.deadlines.remove(&deadline);
        }
        if let Some(at) = at {
            entry.deadline = Some((at, self.changes));
            self.deadlines.insert((at, self.changes), key.into());
        }
        true
    }

    /// Returns `Never` or `At` for a key; `None` if there is no such key.
    pub(crate) fn expiry(&self, key: &[u8]) -> Option<Expiry> {
        let entry = self.live(key)?;
        Some(entry.deadline.map_or(Expiry::Never, |(at, _)| Expiry::At(at)))
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes at most `most` keys that are past their deadlines.
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
}

impl Entry {
    fn is_expired(&self, now: Millis) -> bool {
        self.deadline.is_some_and(|(at, _)| at <= now)
    }

    /// Drops the entry. Returns its cost.
    fn free(self, key: &[u8]) -> usize {
        cost(key, self.value.bytes())
    }
}

/// Returns a key's entry; `None` if the key is missing or past its deadline.
fn live<'e>(
    entries: &'e mut Entries<Box<[u8]>, Entry>,
    key: &[u8],
    now: Millis,
) -> Option<&'e mut Entry> {
    entries.get_mut(key).filter(|entry| !entry.is_expired(now))
}

/// A key with a deadline is stored twice.
fn cost(key: &[u8], value: ValueRef<'_>) -> usize {
    ENTRY + 2 * key.len() + value.cost()
}
