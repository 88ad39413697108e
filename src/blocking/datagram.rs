//! A datagram socket whose handlers block: what it is to the loop.

use std::collections::VecDeque;
use std::io;

use super::executor::{BlockingJob, JobResult, PendingJob};
use super::request::Request;
use super::workers::Workers;
use super::{Handler, Serving, serve};
use crate::addr::Addr;
use crate::exit::Exit;
use crate::handler::{Context, DatagramHandler};
use crate::id::TimerId;
use crate::reactor::dispatch::panic_message;

/// Has each datagram handled, while there are places for it. What came in the same batch waits
/// here; the socket is paused meanwhile, so that the rest waits in the kernel.
pub(super) struct BlockingDatagrams<S, F> {
    workers: Workers,
    factory: F,
    waiting: VecDeque<PendingPacket<S>>,
    away: Vec<InFlight>,
    paused: bool,
}

/// A datagram that somebody is at.
struct InFlight {
    away: PendingJob,
    peer: Addr,
    /// Where it was sent to, and its answer comes from.
    destination: Option<Addr>,
    /// Whether a shutdown waits for it.
    owed: bool,
}

struct PendingPacket<S> {
    handler: Box<Serving<S>>,
    packet: Vec<u8>,
    peer: Addr,
    destination: Option<Addr>,
}

impl<S: 'static, F> BlockingDatagrams<S, F> {
    pub(super) fn new(workers: Workers, factory: F) -> BlockingDatagrams<S, F> {
        BlockingDatagrams {
            workers,
            factory,
            waiting: VecDeque::new(),
            away: Vec::new(),
            paused: false,
        }
    }

    /// Begins as many as there are places for.
    fn start(&mut self, cx: &mut Context<'_, S>) {
        while let Some(letter) = self.waiting.pop_front() {
            let crew = self.workers.crew.clone();
            let Some(place) = crew.places.take() else {
                self.waiting.push_front(letter);
                crew.places.wait(cx.id);
                self.paused = true;
                return cx.pause();
            };
            let (peer, destination) = (letter.peer.clone(), letter.destination.clone());
            let work = self.work(letter);
            match crew.start(cx, place, work) {
                Ok(away) => self.away.push(InFlight { away, peer, destination, owed: true }),
                Err(error) => {
                    cx.io.track_reply(cx.id, false);
                    self.failed(cx, &peer, &error, true);
                }
            }
        }
        if std::mem::take(&mut self.paused) {
            cx.io.resume(cx.id);
        }
    }

    fn work(&self, letter: PendingPacket<S>) -> BlockingJob<S> {
        let PendingPacket { mut handler, packet, peer, destination } = letter;
        let hook = self.workers.handle_error.clone();
        Box::new(move |reach| {
            let mut request = Request::packet(packet, peer.clone(), destination, reach);
            let result = serve(&mut *handler, &mut request);
            super::report(hook.as_deref(), &peer, &result);
            JobResult { result, reply: request.into_reply(), crashed: false, silent_since: None }
        })
    }

    /// Answers those that have ended.
    fn conclude(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let mut exit = Ok(());
        let mut nth = 0;
        while let Some(InFlight { away, .. }) = self.away.get_mut(nth) {
            let is_here = matches!(away, PendingJob::Done(_));
            let Some(ended) = away.take(cx) else {
                nth += 1;
                continue;
            };
            let InFlight { peer, destination, owed, .. } = self.away.swap_remove(nth);
            if let Some(reply) = ended.reply {
                let from = destination.as_ref().and_then(Addr::ip).copied();
                cx.io.send_answer(cx.id, &reply, from, &peer);
            }
            if owed {
                cx.io.track_reply(cx.id, false);
            }
            match ended.result {
                Ok(Ok(())) => {}
                Ok(Err(error)) if Exit::is_exit(&error) => {
                    if is_here {
                        exit = Err(error);
                    }
                }
                Ok(Err(error)) => self.failed(cx, &peer, &error, ended.crashed),
                Err(panic) => {
                    let what = format!("it panicked: {}", panic_message(&*panic));
                    self.failed(cx, &peer, &io::Error::other(what), false);
                }
            }
        }
        exit
    }

    /// `untold`: the hook of the user could not be told.
    fn failed(&self, cx: &mut Context<'_, S>, peer: &Addr, error: &io::Error, untold: bool) {
        cx.io.stats.packets_failed += 1;
        if untold || self.workers.handle_error.is_none() {
            self.workers.crew.warn(cx.io, peer, error);
        }
    }
}

impl<S, F, H> DatagramHandler<S> for BlockingDatagrams<S, F>
where
    S: 'static,
    F: FnMut(&Addr) -> H,
    H: Handler<S> + Send + 'static,
{
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let handler = Box::new((self.factory)(peer));
        let (packet, peer, destination) = (packet.to_vec(), peer.clone(), cx.local_addr());
        self.waiting.push_back(PendingPacket { handler, packet, peer, destination });
        cx.io.track_reply(cx.id, true);
        self.start(cx);
        self.conclude(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, _timer: TimerId) -> io::Result<()> {
        let exit = self.conclude(cx);
        self.start(cx);
        exit.and(self.conclude(cx))
    }
    /// Nobody waits for those who are detached. What they answer is sent if the server runs then.
    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let detached =
            |sent: &&mut InFlight| self.workers.detach && sent.owed && sent.away.is_thread();
        for sent in self.away.iter_mut().filter(detached) {
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

    use super::super::executor::Executor;
    use super::*;
    use crate::id::SocketId;
    use crate::reactor::dispatch::Dispatcher;
    use crate::server::Server;

    /// One turn takes no longer, whatever comes.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn server(workers: Workers) -> (Server, SocketId, UdpSocket) {
        let mut server = Server::new().unwrap();
        let answer = |request: &mut Request<'_>| request.send_all(b"?");
        let id = server
            .bind("127.0.0.1:0", BlockingDatagrams::new(workers, move |_: &Addr| answer))
            .unwrap();
        let addr = *server.io().local_addr(id).unwrap().ip().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(addr).unwrap();
        (server, id, client)
    }

    #[test]
    fn a_datagram_that_nobody_could_begin_with_is_owed_no_more() {
        let mut workers = Workers::threads(1);
        workers.crew = Rc::new(Executor::that_fails());
        let (mut server, id, client) = server(workers);
        client.send(b"hello").unwrap();
        while server.io().stats().packets_in == 0 {
            server.turn(Some(PATIENCE)).unwrap();
        }
        assert_eq!(server.io().stats().packets_failed, 1);
        assert!(!server.dispatcher().io.sockets.datagram_mut(id).unwrap().has_replies_due());
        // So a shutdown has nothing to wait for.
        server.io_mut().shutdown(PATIENCE);
        for _ in 0..8 {
            server.turn(Some(Duration::ZERO)).unwrap();
        }
        assert!(!server.io().is_shutting_down());
    }

    /// What takes one from the row puts the last in its place, which is looked at as well.
    #[test]
    fn all_that_have_ended_are_answered_at_once() {
        for count in 1..=5 {
            let (mut server, id, client) = server(Workers::threads(1));
            let mut letters = BlockingDatagrams::new(Workers::threads(1), ());
            let peer = Addr::Ip(client.local_addr().unwrap());
            for nth in 0..count {
                let ended = JobResult {
                    result: Ok(Ok(())),
                    reply: Some(vec![nth]),
                    crashed: false,
                    silent_since: None,
                };
                let (away, peer) = (PendingJob::Done(ended), peer.clone());
                letters.away.push(InFlight { away, peer, destination: None, owed: false });
            }
            let Dispatcher { shared, io, registrar, .. } = server.dispatcher();
            let mut cx = Context { id, shared, io, registrar, reason: None, sender: None };
            letters.conclude(&mut cx).unwrap();
            assert!(letters.away.is_empty(), "{} of {count} wait", letters.away.len());
            assert_eq!(server.io().queued_packets(id), usize::from(count));
        }
    }
}
