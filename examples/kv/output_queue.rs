//! Replies with large values, sent piece by piece as their clients read.
//!
//! A client with an output queue is congested: the library reads no input from it. It continues
//! when the output has drained ([`Handler::drained`](socketserver::Handler)).

use std::collections::{BTreeMap, VecDeque};

use socketserver::{Io, SendStatus, SocketId};

use crate::clients::ClientRecord;
use crate::large::Large;
use crate::replies::Replies;
use crate::slow_subscriber::Verdict;

#[derive(Default)]
pub(crate) struct OutputQueues(BTreeMap<SocketId, OutputQueue>);

#[derive(Default)]
struct OutputQueue {
    parts: VecDeque<OutputPart>,
    /// Bytes of messages queued after the replies.
    messages: usize,
    /// Whether the connection closes after the last part.
    closes_when_sent: bool,
}

enum OutputPart {
    Bytes(Vec<u8>),
    /// A value, and the index of its next piece.
    Large(Large, usize),
}

impl OutputQueues {
    pub(crate) fn contains(&self, id: SocketId) -> bool {
        !self.0.is_empty() && self.0.contains_key(&id)
    }

    /// Queues the replies of the client being served, and sends what fits.
    pub(crate) fn reply(&mut self, io: &mut Io, id: SocketId, replies: &mut Replies) -> SendStatus {
        self.0.entry(id).or_default().parts.extend(parts(replies));
        self.send_more(io, id)
    }

    /// Sends a message that the client did not request. It is queued if a reply is being sent,
    /// because it must not appear inside one.
    pub(crate) fn message(&mut self, io: &mut Io, client: &ClientRecord, message: &Replies) {
        let id = client.socket;
        let large: usize = message.larges.iter().map(|(_, large)| large.len()).sum();
        let len = message.bytes.len() + large;
        let queued = io.pending_output(id) + self.queued(id) + len;
        match client.slow.judge(queued, io.now()) {
            Verdict::Keep => {}
            Verdict::JudgeAfter(time) => drop(io.set_timer(id, time)),
            Verdict::End => {
                io.abort(id);
                return;
            }
        }
        match self.0.get_mut(&id) {
            Some(output_queue) => {
                output_queue.messages += len;
                output_queue.parts.extend(parts(message));
            }
            None => parts(message).for_each(|part| part.send_all(io, id)),
        }
    }

    /// Bytes of messages that wait for the end of a reply.
    pub(crate) fn queued(&self, id: SocketId) -> usize {
        self.0.get(&id).map_or(0, |output_queue| output_queue.messages)
    }

    /// Sends parts until the output is congested.
    pub(crate) fn send_more(&mut self, io: &mut Io, id: SocketId) -> SendStatus {
        let Some(output_queue) = self.0.get_mut(&id) else { return SendStatus::Queued };
        while let Some(part) = output_queue.parts.front_mut() {
            match part.send(io, id) {
                Some(SendStatus::Queued) => {}
                Some(SendStatus::Congested) => return SendStatus::Congested,
                Some(SendStatus::Closed) => {
                    self.0.remove(&id);
                    return SendStatus::Closed;
                }
                None => drop(output_queue.parts.pop_front()),
            }
        }
        if output_queue.closes_when_sent {
            io.close(id);
        }
        self.0.remove(&id);
        SendStatus::Queued
    }

    /// Closes the connection after its queue is sent.
    pub(crate) fn close(&mut self, io: &mut Io, id: SocketId) {
        match self.0.get_mut(&id) {
            Some(output_queue) => output_queue.closes_when_sent = true,
            None => drop(io.close(id)),
        }
    }

    pub(crate) fn remove(&mut self, id: SocketId) {
        self.0.remove(&id);
    }
}

impl OutputPart {
    /// Sends one piece; `None` after the last one.
    fn send(&mut self, io: &mut Io, id: SocketId) -> Option<SendStatus> {
        match self {
            OutputPart::Bytes(bytes) if bytes.is_empty() => None,
            OutputPart::Bytes(bytes) => Some(io.send(id, &std::mem::take(bytes))),
            OutputPart::Large(large, next) => {
                let piece = large.piece(*next)?;
                *next += 1;
                Some(io.send_shared(id, piece))
            }
        }
    }

    fn send_all(mut self, io: &mut Io, id: SocketId) {
        while self.send(io, id).is_some_and(|sent| sent != SendStatus::Closed) {}
    }
}

/// Splits replies into bytes and large values, in order.
fn parts(replies: &Replies) -> impl Iterator<Item = OutputPart> {
    let mut start = 0;
    let mut larges = replies.larges.iter();
    std::iter::from_fn(move || {
        let (end, large) = match larges.next() {
            Some((at, large)) => (*at, Some(large.clone())),
            None if start < replies.bytes.len() => (replies.bytes.len(), None),
            None => return None,
        };
        let bytes = replies.bytes.get(start..end).unwrap_or_default().to_vec();
        start = end;
        Some([Some(OutputPart::Bytes(bytes)), large.map(|large| OutputPart::Large(large, 0))])
    })
    .flatten()
    .flatten()
}
