//! The value of a key.

use crate::large::Large;

/// A stored value.
#[derive(Debug)]
pub(crate) enum Value {
    Small(Vec<u8>),
    Large(Large),
}

/// A borrowed value: a stored one, or an argument.
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

    /// Bytes that a stored value costs, without those of a large value, which has its own
    /// reservation.
    pub(crate) fn cost(self) -> usize {
        match self {
            ValueRef::Small(bytes) => bytes.len(),
            ValueRef::Large(_) => 0,
        }
    }

    /// Returns the bytes; `None` for a large value.
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
