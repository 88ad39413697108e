//! What a key holds.

use crate::large::Large;

/// A value that is stored.
#[derive(Debug)]
pub(crate) enum Value {
    Small(Vec<u8>),
    Large(Large),
}

/// A value that is shown: one that is stored, or one that a command brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bytes<'v> {
    Small(&'v [u8]),
    Large(&'v Large),
}

impl Value {
    pub(crate) fn bytes(&self) -> Bytes<'_> {
        match self {
            Value::Small(bytes) => Bytes::Small(bytes),
            Value::Large(large) => Bytes::Large(large),
        }
    }
}

impl<'v> Bytes<'v> {
    pub(crate) fn len(self) -> usize {
        match self {
            Bytes::Small(bytes) => bytes.len(),
            Bytes::Large(large) => large.len(),
        }
    }

    /// What a large value costs is counted by itself.
    pub(crate) fn cost(self) -> usize {
        match self {
            Bytes::Small(bytes) => bytes.len(),
            Bytes::Large(_) => 0,
        }
    }

    /// All of it, unless it is large.
    pub(crate) fn small(self) -> Option<&'v [u8]> {
        match self {
            Bytes::Small(bytes) => Some(bytes),
            Bytes::Large(_) => None,
        }
    }

    pub(crate) fn to_value(self) -> Value {
        match self {
            Bytes::Small(bytes) => Value::Small(bytes.to_vec()),
            Bytes::Large(large) => Value::Large(large.clone()),
        }
    }
}
