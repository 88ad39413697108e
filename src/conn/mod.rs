//! One connection, datagram socket or connect attempt as a state machine: bytes in, bytes out. No
//! system call, no clock, no id.
//!
//! This room may use `values` only. Start reading at [`stream::Stream`].

pub(crate) mod byte_buffer;
pub(crate) mod connector;
pub(crate) mod datagram;
mod flags;
pub(crate) mod framing;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod packets;
pub(crate) mod page_aligned;
pub(crate) mod stream;
pub(crate) mod transport;
