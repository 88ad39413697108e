//! Datagrams in memory: where those that came lie, and the queue of those that leave.

pub(crate) mod recv_buffers;
pub(crate) mod send_queue;
mod source;

pub(crate) use recv_buffers::{Packet, RecvBuffers};
pub(crate) use send_queue::{DestAddr, QueueLimits, SendQueue};
pub(crate) use source::{Destination, PacketSource};

/// The most datagrams that cross in one system call.
pub(crate) const BATCH: usize = 64;
