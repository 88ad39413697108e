//! The handler that the loop has for a datagram socket with blocking handlers.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::executor::{FinishedJobs, PendingJob, Starving};
use super::request::Request;
use super::serve;
use super::work::{BlockingJob, Factory, HandlerSource, JobResult, Work};
use super::workers::Workers;
use crate::addr::Addr;
use crate::exit::Exit;
use crate::foreign::{self, ForeignCode};
use crate::handler::{Context, DatagramHandler};
use crate::id::TimerId;
use crate::net::is_shortage;
use crate::reactor::dispatch::panic_message;

/// Starts a handler for each datagram, while a permit is free. Without a permit, the rest of the batch
/// waits here and the socket is paused, so further datagrams wait in the kernel.
pub(super) struct BlockingDatagrams<S> {
    workers: Workers,
    factory: Factory<S>,
    waiting: VecDeque<PendingPacket<S>>,
    in_flight: BTreeMap<u64, InFlight>,
    /// The number of the next job.
    next_job: u64,
    finished: Arc<FinishedJobs>,
    paused: bool,
    /// A shortage has kept a handler from being started; the timer tries again.
    starving: Option<(Starving, TimerId)>,
}

/// A datagram whose handler runs.
struct InFlight {
    pending: PendingJob,
    peer: Addr,
    /// The local address that it was sent to, which is the source of the reply.
    destination: Option<Addr>,
    /// Whether a shutdown waits for the reply.
    owed: bool,
}

struct PendingPacket<S> {
    source: HandlerSource<S>,
    job: BlockingJob<S>,
    peer: Addr,
    destination: Option<Addr>,
}

impl<S: 'static> BlockingDatagrams<S> {
    pub(super) fn new(workers: Workers, factory: Factory<S>) -> BlockingDatagrams<S> {
        BlockingDatagrams {
            workers,
            factory,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_job: 0,
            finished: Arc::default(),
            paused: false,
            starving: None,
        }
    }

    /// Starts waiting datagrams while a permit is free.
    fn start(&mut self, cx: &mut Context<'_, S>) {
        let starved = self.starving.take();
        if let Some((_, timer)) = &starved {
            cx.io.cancel_timer(*timer);
        }
        let mut served = false;
        while let Some(packet) = self.waiting.pop_front() {
            let executor = self.workers.executor.clone();
            let Some(permit) = executor.limit.try_acquire() else {
                self.waiting.push_front(packet);
                executor.limit.wait(cx.id, served);
                return self.pause(cx);
            };
            served = true;
            let PendingPacket { source, job, peer, destination } = packet;
            let (number, finished) = (self.next_job, self.finished.job(self.next_job));
            self.next_job += 1;
            match executor.start(cx, Work { source, permit, job, finished }) {
                Ok(pending) => {
                    let sent = InFlight { pending, peer, destination, owed: true };
                    self.in_flight.insert(number, sent);
                }
                Err((error, Work { source, job, .. })) if is_shortage(&error) => {
                    self.waiting.push_front(PendingPacket { source, job, peer, destination });
                    self.starving = Some(executor.starve(cx.io, cx.id, &error));
                    return self.pause(cx);
                }
                Err((error, _)) => {
                    cx.io.track_reply(cx.id, false);
                    self.failed(cx, &peer, &error, true);
                }
            }
        }
        drop(starved);
        if std::mem::take(&mut self.paused) {
            cx.io.resume(cx.id);
            self.workers.executor.limit.leave(cx.id);
            self.workers.executor.limit.wake(cx.io);
        }
    }

    /// Leaves further datagrams in the kernel.
    fn pause(&mut self, cx: &mut Context<'_, S>) {
        self.paused = true;
        cx.pause();
    }

    fn job(&self, packet: Vec<u8>, peer: Addr, destination: Option<Addr>) -> BlockingJob<S> {
        let hook = self.workers.handle_error.clone();
        Box::new(move |handler, access| {
            let mut request = Request::packet(packet, peer.clone(), destination, access);
            let outcome = serve(handler, &mut request);
            super::report(hook.as_deref(), &peer, &outcome);
            JobResult { reply: request.into_reply(), ..JobResult::of(outcome) }
        })
    }

    /// Sends the replies of the handlers that have finished.
    fn complete(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let mut exit = Ok(());
        for number in self.finished.take() {
            let Some(sent) = self.in_flight.get_mut(&number) else { continue };
            let is_inline = matches!(sent.pending, PendingJob::Done(_));
            let Some(result) = sent.pending.take(cx) else {
                // A process that has reported and not ended yet; its timer calls again.
                self.finished.job(number).note();
                continue;
            };
            let Some(sent) = self.in_flight.remove(&number) else { continue };
            let InFlight { peer, destination, owed, .. } = sent;
            if let Some(reply) = result.reply {
                let from = destination.as_ref().and_then(Addr::ip).copied();
                cx.io.send_answer(cx.id, &reply, from, &peer);
            }
            if owed {
                cx.io.track_reply(cx.id, false);
            }
            match result.outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) if Exit::is_exit(&error) => {
                    if is_inline {
                        exit = Err(error);
                    }
                }
                // Dropped behind the guard: the results after this one must not be lost.
                Ok(Err(error)) => {
                    self.failed(cx, &peer, &error, result.crashed);
                    foreign::discard(ForeignCode::Error, Some(cx.id), error);
                }
                Err(panic) => {
                    let what = format!("it panicked: {}", panic_message(&*panic));
                    foreign::discard_payload(panic);
                    self.failed(cx, &peer, &io::Error::other(what), false);
                }
            }
        }
        exit
    }

    /// Counts a failure. `unreported` logs it even if the user has set a hook, which was not called.
    fn failed(&self, cx: &mut Context<'_, S>, peer: &Addr, error: &io::Error, unreported: bool) {
        cx.io.stats.packets_failed += 1;
        if unreported || self.workers.handle_error.is_none() {
            self.workers.executor.warn(cx.io, peer, error);
        }
    }
}

impl<S: 'static> DatagramHandler<S> for BlockingDatagrams<S> {
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let source = self.workers.executor.source(&self.factory, peer);
        let (peer, destination) = (peer.clone(), cx.local_addr());
        let job = self.job(packet.to_vec(), peer.clone(), destination.clone());
        self.waiting.push_back(PendingPacket { source, job, peer, destination });
        cx.io.track_reply(cx.id, true);
        self.start(cx);
        self.complete(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, _timer: TimerId) -> io::Result<()> {
        let exit = self.complete(cx);
        self.start(cx);
        exit.and(self.complete(cx))
    }

    /// Leaves the permit that it was woken for to the next one.
    fn finish(&mut self, cx: &mut Context<'_, S>, _outcome: io::Result<()>) {
        self.starving = None;
        self.workers.executor.limit.leave(cx.id);
        self.workers.executor.limit.wake(cx.io);
    }

    /// Lets the shutdown not wait for daemon threads. Their replies are sent if the server still runs.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let detached = |sent: &&mut InFlight| {
            self.workers.daemon_threads && sent.owed && sent.pending.is_thread()
        };
        for sent in self.in_flight.values_mut().filter(detached) {
            sent.owed = false;
            cx.io.track_reply(cx.id, false);
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "testing"))]
#[allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod tests {
    use std::net::UdpSocket;
    use std::rc::Rc;
    use std::time::Duration;

    use super::super::boxed;
    use super::super::executor::Executor;
    use super::*;
    use crate::id::SocketId;
    use crate::reactor::dispatch::Dispatcher;
    use crate::server::Server;

    /// The bound of one turn.
    const MAX_TURN: Duration = Duration::from_secs(30);

    fn server(workers: Workers) -> (Server, SocketId, UdpSocket) {
        let mut server = Server::new().unwrap();
        let answer = |request: &mut Request<'_>| request.send_all(b"?");
        let id = server
            .bind("127.0.0.1:0", BlockingDatagrams::new(workers, boxed(move |_| answer)))
            .unwrap();
        let addr = *server.io().local_addr(id).unwrap().ip().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(addr).unwrap();
        (server, id, client)
    }

    #[test]
    fn datagram_whose_thread_cannot_start_owes_no_reply() {
        let mut workers = Workers::threads(1);
        workers.executor = Rc::new(Executor::that_fails());
        let (mut server, id, client) = server(workers);
        client.send(b"hello").unwrap();
        while server.io().stats().packets_in == 0 {
            server.turn(Some(MAX_TURN)).unwrap();
        }
        assert_eq!(server.io().stats().packets_failed, 1);
        assert!(!server.dispatcher().io.sockets.datagram_mut(id).unwrap().has_replies_due());
        // So a shutdown waits for no reply.
        server.io_mut().shutdown(MAX_TURN);
        for _ in 0..8 {
            server.turn(Some(Duration::ZERO)).unwrap();
        }
        assert!(!server.io().is_shutting_down());
    }

    #[test]
    fn all_finished_datagrams_are_answered_at_once() {
        for count in 1..=5 {
            let (mut server, id, client) = server(Workers::threads(1));
            let unused = boxed(|_: &Addr| |_: &mut Request<'_>| Ok(()));
            let mut datagrams = BlockingDatagrams::new(Workers::threads(1), unused);
            let peer = Addr::Ip(client.local_addr().unwrap());
            for nth in 0..count {
                let result = JobResult { reply: Some(vec![nth]), ..JobResult::of(Ok(Ok(()))) };
                let (pending, peer) = (PendingJob::Done(result), peer.clone());
                let sent = InFlight { pending, peer, destination: None, owed: false };
                datagrams.in_flight.insert(u64::from(nth), sent);
                datagrams.finished.job(u64::from(nth)).note();
            }
            let Dispatcher { shared, io, registrar, .. } = server.dispatcher();
            let mut cx = Context { id, shared, io, registrar, reason: None, sender: None };
            datagrams.complete(&mut cx).unwrap();
            assert!(
                datagrams.in_flight.is_empty(),
                "{} of {count} wait",
                datagrams.in_flight.len()
            );
            assert_eq!(server.io().queued_packets(id), usize::from(count));
        }
    }
}
