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
pub(crate) enum ValueRef<'v> {
    Small(&'v [u8]),
    Large(&'v Large),
}

impl Value {
    pub(crate) fn bytes(&self) -> ValueRef<'_> {
        match self {
            Value::Small(bytes) => ValueRef::Small(bytes),
            Value::Large(large) => ValueRef::Large(large),
        }
    }
}

impl<'v> ValueRef<'v> {
    pub(crate) fn len(self) -> usize {
        match self {
            ValueRef::Small(bytes) => bytes.len(),
            ValueRef::Large(large) => large.len(),
        }
    }

    /// What a large value costs is counted by itself.
    pub(crate) fn cost(self) -> usize {
        match self {
            ValueRef::Small(bytes) => bytes.len(),
            ValueRef::Large(_) => 0,
        }
    }

    /// All of it, unless it is large.
    pub(crate) fn small(self) -> Option<&'v [u8]> {
        match self {
            ValueRef::Small(bytes) => Some(bytes),
            ValueRef::Large(_) => None,
        }
    }

    pub(crate) fn to_value(self) -> Value {
        match self {
            ValueRef::Small(bytes) => Value::Small(bytes.to_vec()),
            ValueRef::Large(large) => Value::Large(large.clone()),
        }
    }
}
