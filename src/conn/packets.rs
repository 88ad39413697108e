//! Datagrams in memory: the buffers for received ones, and the queue of those to send.

pub(crate) mod recv_buffers;
pub(crate) mod send_queue;
mod source;

pub(crate) use recv_buffers::{Packet, RecvBuffers};
pub(crate) use send_queue::{DestAddr, QueueLimits, SendQueue};
pub(crate) use source::{Destination, PacketSource};

/// The most datagrams in one system call.
pub(crate) const BATCH: usize = 64;
