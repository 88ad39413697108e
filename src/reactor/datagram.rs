//! Datagrams: received within a budget, delivered to their handler, and sent.
//!
//! Datagram sockets have the same two phases of a turn as connections: what the handler sends in
//! reply to a batch leaves in the write phase, many datagrams in one system call.

use std::io;
use std::ops::Range;
use std::thread;

use log::{debug, warn};

use crate::addr::Addr;
use crate::conn::datagram::{Datagram, DatagramPhase, FlushOutcome};
use crate::conn::packets::{BATCH, Destination, Packet, RecvBuffers};
use crate::foreign::{self, ErrorText, ForeignCode};
use crate::handler::{Context, DatagramHandler, HandlerSlot};
use crate::id::SocketId;
use crate::io::{ACCEPT_RETRY, Io};
use crate::net::MmsgHeaders;
use crate::reactor::datagram_filter::{is_denied, is_rejected};
use crate::reactor::dispatch::{Dispatcher, Failure};
use crate::stats::CloseReason;
use crate::trace::TraceEvent;

/// The buffers that all datagram sockets of a loop share.
#[derive(Debug)]
pub(super) struct DatagramBuffers {
    max_packet_size: usize,
    /// Allocated for the first read.
    inbox: Option<RecvBuffers>,
    batch: MmsgHeaders,
}

impl DatagramBuffers {
    pub(super) fn new(max_packet_size: usize) -> DatagramBuffers {
        DatagramBuffers { max_packet_size, inbox: None, batch: MmsgHeaders::default() }
    }
}

impl<S> Dispatcher<S> {
    // The read phase.

    /// Receives datagrams within the budget of a turn, and delivers them.
    pub(super) fn receive_datagrams(&mut self, id: SocketId, buffers: &mut DatagramBuffers) {
        let DatagramBuffers { max_packet_size, inbox, batch } = buffers;
        let inbox = inbox.get_or_insert_with(|| RecvBuffers::new(*max_packet_size));
        let mut left = self.io.options.packets_per_turn;
        while left > 0 {
            let most = left.min(BATCH).min(self.io.accept_quota.unwrap_or(BATCH));
            let Some(datagram) = self.io.sockets.datagram_mut(id) else { return };
            if most == 0 {
                datagram.suspend();
                return self.io.sockets.note_stopped(id);
            }
            if !datagram.wants_read() {
                return;
            }
            match datagram.receive(batch, inbox, most) {
                Some(Ok(count)) => {
                    self.io.stats.packets_in += count as u64;
                    self.io.trace.step(|| TraceEvent::PacketsIn(id, count));
                    self.deliver_all(id, inbox, count);
                    left = left.saturating_sub(count);
                }
                Some(Err(error)) => {
                    if datagram.recv_backoff {
                        let retry = self.io.deadline_in(ACCEPT_RETRY);
                        self.io.deadlines.push(retry, id);
                        warn_throttled(&mut self.io, id, "nothing can be received", &error);
                    }
                    self.notify_error(id, error);
                    left -= 1;
                }
                None => return,
            }
        }
    }

    /// Delivers a batch of datagrams. Handlers of sockets that a callback opens are installed, and
    /// errors counted, before the next datagram is delivered.
    #[inline]
    fn deliver_all(&mut self, id: SocketId, inbox: &RecvBuffers, count: usize) {
        let mut range = 0..count;
        while !range.is_empty() {
            let result = if inbox.has_destinations() {
                self.deliver_run_with_destinations(id, inbox, &mut range)
            } else {
                self.deliver_run::<false>(id, inbox, &mut range)
            };
            if !self.registrar.pending_handlers.is_empty() {
                self.install_pending();
            }
            if let Err(failure) = result {
                self.count_failure(id, failure);
            }
        }
    }

    /// Delivers datagrams until something has to be done between two of them. That is rare, so the
    /// handler is looked up once for all of them.
    #[inline]
    fn deliver_run<const HAS_DESTINATIONS: bool>(
        &mut self,
        id: SocketId,
        inbox: &RecvBuffers,
        range: &mut Range<usize>,
    ) -> Result<(), Failure> {
        let Dispatcher { shared, io, handlers, registrar, verify, accepted, .. } = self;
        let Some(HandlerSlot::Datagram(handler)) = handlers.get_mut(id.index()) else {
            range.start = range.end;
            return Ok(());
        };
        let result = foreign::catch(|| {
            for nth in range {
                let Some(packet) = inbox.packet(nth) else { break };
                let destination = || if HAS_DESTINATIONS { inbox.destination(nth) } else { None };
                if is_rejected(io, id, packet.peer, destination)
                    || is_denied(verify, shared, id, packet.peer)
                {
                    io.stats.packets_refused += 1;
                    continue;
                }
                note_request(io, accepted, id);
                if HAS_DESTINATIONS {
                    begin_delivery(io, id, packet.peer, destination());
                }
                let sender = Some(packet.peer);
                let mut cx = Context { id, shared, io, registrar, reason: None, sender };
                deliver_one(&mut **handler, &mut cx, packet)?;
                if !registrar.pending_handlers.is_empty() {
                    break;
                }
            }
            Ok(())
        });
        if HAS_DESTINATIONS {
            end_delivery(io, id);
        }
        outcome_of(id, result)
    }

    /// The same for a socket with several addresses. Not inlined, so that other sockets do not pay
    /// for it.
    #[inline(never)]
    fn deliver_run_with_destinations(
        &mut self,
        id: SocketId,
        inbox: &RecvBuffers,
        range: &mut Range<usize>,
    ) -> Result<(), Failure> {
        self.deliver_run::<true>(id, inbox, range)
    }

    /// Calls the handler of a datagram socket, and then installs the handlers of sockets that it
    /// opened.
    #[inline(always)]
    pub(super) fn call_datagram(
        &mut self,
        id: SocketId,
        sender: Option<&Addr>,
        callback: impl FnOnce(&mut dyn DatagramHandler<S>, &mut Context<'_, S>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Dispatcher { shared, io, handlers, registrar, .. } = self;
        let Some(HandlerSlot::Datagram(handler)) = handlers.get_mut(id.index()) else {
            return Ok(());
        };
        let mut cx = Context { id, shared, io, registrar, reason: None, sender };
        let result = foreign::catch(|| callback(&mut **handler, &mut cx));
        if !self.registrar.pending_handlers.is_empty() {
            self.install_pending();
        }
        outcome_of(id, result)
    }

    fn notify_error(&mut self, id: SocketId, error: io::Error) {
        let called = self.call_datagram(id, None, |handler, cx| handler.error(cx, error));
        if let Err(failure) = called {
            self.count_failure(id, failure);
        }
    }

    #[cold]
    pub(super) fn count_failure(&mut self, id: SocketId, failure: Failure) {
        if !self.io.record_exit(&failure.error) {
            self.io.stats.packets_failed += 1;
            warn_throttled(&mut self.io, id, "a handler failed on a datagram", &failure.error);
        }
        failure.discard(id);
    }

    // The write phase.

    pub(super) fn finish_datagram_turn(&mut self, id: SocketId, buffers: &mut DatagramBuffers) {
        self.send_packets(id, buffers);
        match self.io.sockets.datagram_mut(id) {
            None => return,
            Some(datagram) if datagram.is_turn_done() => {
                datagram.queued = false;
                return;
            }
            Some(datagram) => {
                if datagram.take_spare() {
                    self.io.note_spare(id);
                }
            }
        }
        self.notify_datagram_drained(id);
        self.end_drain(id);
        self.advance_datagram_close(id);
        self.io.sockets.end_turn(id);
    }

    /// Sends queued datagrams within the budget of a turn.
    fn send_packets(&mut self, id: SocketId, buffers: &mut DatagramBuffers) {
        let mut left = self.io.options.packets_per_turn;
        while left > 0 {
            let Io { sockets, stats, trace, .. } = &mut self.io;
            let Some(datagram) = sockets.datagram_mut(id) else { return };
            let gone = match datagram.flush(&mut buffers.batch, left) {
                Some(FlushOutcome::Sent(n)) => {
                    stats.packets_out += n as u64;
                    trace.step(|| TraceEvent::PacketsOut(id, n));
                    n
                }
                Some(FlushOutcome::Dropped(error)) => {
                    stats.packets_dropped += 1;
                    trace.step(|| TraceEvent::PacketDropped(id));
                    self.note_drop(id, &error);
                    1
                }
                Some(FlushOutcome::PendingError(error)) => {
                    self.notify_error(id, error);
                    1
                }
                Some(FlushOutcome::WouldBlock) | None => return,
            };
            left = left.saturating_sub(gone.max(1));
        }
    }

    /// Says why a datagram was dropped. That a peer takes none is its own matter; that our send buffer
    /// is full of what some peer does not read concerns all of them.
    #[cold]
    fn note_drop(&mut self, id: SocketId, error: &io::Error) {
        let is_ours = error.kind() == io::ErrorKind::WouldBlock
            && self
                .io
                .sockets
                .datagram(id)
                .is_some_and(|one| one.transport().is_send_buffer_full());
        if is_ours {
            let what = "answers to all peers are dropped: one peer or more do not read, and their \
                        answers fill the send buffer (Options::send_buffer)";
            warn_throttled(&mut self.io, id, what, error);
        } else {
            debug!("{id}: a datagram was dropped: {error}");
        }
    }

    fn notify_datagram_drained(&mut self, id: SocketId) {
        let drained = self.io.sockets.datagram_mut(id).is_some_and(|datagram| {
            datagram.take_drained() && datagram.phase() != DatagramPhase::Closing
        });
        if drained {
            let called = self.call_datagram(id, None, |handler, cx| handler.drained(cx));
            if let Err(failure) = called {
                self.count_failure(id, failure);
            }
        }
    }

    /// Closes the socket when it is closing and flushed, or else updates its write interest.
    fn advance_datagram_close(&mut self, id: SocketId) {
        let Some(datagram) = self.io.sockets.datagram(id) else { return };
        if datagram.phase() == DatagramPhase::Closing {
            if datagram.is_flushed() {
                return self.close_datagram(id, Ok(()));
            }
            self.io.arm_datagram_close_timeout(id);
        }
        if let Err(error) = self.io.update_datagram_write_interest(id) {
            self.close_datagram(id, Err(error));
        }
    }

    /// Closes a datagram socket: calls `finish` of its handler and removes both.
    pub(super) fn close_datagram(&mut self, id: SocketId, outcome: io::Result<()>) {
        if let HandlerSlot::Datagram(mut handler) = self.take_handler(id) {
            self.io.with_datagram(id, Datagram::close);
            let Dispatcher { shared, io, registrar, .. } = self;
            let reason =
                Some(if outcome.is_ok() { CloseReason::Closed } else { CloseReason::IoError });
            let mut cx = Context { id, shared, io, registrar, reason, sender: None };
            foreign::run(ForeignCode::Callback, Some(id), || handler.finish(&mut cx, outcome));
            foreign::discard(ForeignCode::HandlerDrop, Some(id), handler);
            self.install_pending();
        }
        self.io.remove_socket(id);
    }
}

/// Calls the handler for one datagram.
#[inline(always)]
fn deliver_one<S>(
    handler: &mut dyn DatagramHandler<S>,
    cx: &mut Context<'_, S>,
    packet: Packet<'_>,
) -> io::Result<()> {
    let Packet { bytes, peer, truncated } = packet;
    if truncated {
        note_truncation(cx.io, cx.id);
        return handler.truncated(cx, bytes, peer);
    }
    handler.handle(cx, bytes, peer)
}

#[inline]
fn outcome_of(id: SocketId, result: thread::Result<io::Result<()>>) -> Result<(), Failure> {
    match result {
        Ok(Ok(())) => Ok(()),
        failed => Err(Failure::of_callback(id, failed)),
    }
}

/// Records the datagram as the one request of `handle_request`, if that runs.
#[inline]
fn note_request(io: &mut Io, accepted: &mut Option<SocketId>, id: SocketId) {
    if io.accept_quota.is_some() {
        io.accept_quota = Some(0);
        *accepted = Some(id);
    }
}

/// From now on, replies to `peer` leave from the address that its datagram was sent to.
#[inline(never)]
fn begin_delivery(io: &mut Io, id: SocketId, peer: &Addr, destination: Option<Destination>) {
    if let Some(datagram) = io.sockets.datagram_mut(id) {
        datagram.begin_delivery(peer, destination);
    }
}

/// From now on, what is sent is no reply.
#[inline(never)]
fn end_delivery(io: &mut Io, id: SocketId) {
    if let Some(datagram) = io.sockets.datagram_mut(id) {
        datagram.end_delivery();
    }
}

#[cold]
fn note_truncation(io: &mut Io, id: SocketId) {
    io.stats.packets_truncated += 1;
    let most = io.options.max_packet_size;
    let error = io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("more than {most} bytes (max_packet_size)"),
    );
    warn_throttled(io, id, "a datagram was truncated", &error);
}

#[cold]
fn warn_throttled(io: &mut Io, id: SocketId, what: &str, error: &io::Error) {
    let Some(datagram) = io.sockets.datagram_mut(id) else { return };
    if let Some(before) = datagram.allow_warning(io.now) {
        warn!("{id}: {what}: {} ({before} more such warnings before)", ErrorText(error));
    }
}
