//! A datagram socket whose handlers block: what it is to the loop.

use std::collections::VecDeque;
use std::io;

use super::crew::{Away, Ended, Work};
use super::mode::Mode;
use super::request::Request;
use super::{Handler, Serving, serve};
use crate::addr::Addr;
use crate::exit::Exit;
use crate::handler::{Context, DatagramHandler};
use crate::id::TimerId;
use crate::stage::message_of;

/// Has each datagram handled, while there are places for it. What came in the same batch waits
/// here; the socket is paused meanwhile, so that the rest waits in the kernel.
pub(super) struct Letters<S, F> {
    mode: Mode,
    factory: F,
    waiting: VecDeque<Letter<S>>,
    away: Vec<Sent>,
    paused: bool,
}

/// A datagram that somebody is at.
struct Sent {
    away: Away,
    peer: Addr,
    /// Whether a shutdown waits for it.
    owed: bool,
}

struct Letter<S> {
    handler: Box<Serving<S>>,
    packet: Vec<u8>,
    peer: Addr,
}

impl<S: 'static, F> Letters<S, F> {
    pub(super) fn new(mode: Mode, factory: F) -> Letters<S, F> {
        Letters { mode, factory, waiting: VecDeque::new(), away: Vec::new(), paused: false }
    }

    /// Begins as many as there are places for.
    fn start(&mut self, cx: &mut Context<'_, S>) {
        while let Some(letter) = self.waiting.pop_front() {
            let crew = self.mode.crew.clone();
            let Some(place) = crew.places.take() else {
                self.waiting.push_front(letter);
                crew.places.wait(cx.id);
                self.paused = true;
                return cx.pause();
            };
            let peer = letter.peer.clone();
            let work = self.work(cx, letter);
            match crew.start(cx, place, work) {
                Ok(away) => self.away.push(Sent { away, peer, owed: true }),
                Err(error) => {
                    cx.io.owe(cx.id, false);
                    self.failed(cx, &peer, &error, true);
                }
            }
        }
        if std::mem::take(&mut self.paused) {
            cx.io.resume(cx.id);
        }
    }

    fn work(&self, cx: &mut Context<'_, S>, letter: Letter<S>) -> Work<S> {
        let Letter { mut handler, packet, peer } = letter;
        let hook = self.mode.handle_error.clone();
        let server_address = cx.io.local_addr(cx.id);
        Box::new(move |reach| {
            let mut request = Request::packet(packet, peer.clone(), server_address, reach);
            let result = serve(&mut *handler, &mut request);
            super::report(hook.as_deref(), &peer, &result);
            Ended { result, reply: request.into_reply(), crashed: false }
        })
    }

    /// Answers those that have ended.
    fn conclude(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let mut exit = Ok(());
        let mut nth = 0;
        while let Some(Sent { away, .. }) = self.away.get_mut(nth) {
            let is_here = matches!(away, Away::Ended(_));
            let Some(ended) = away.take(cx) else {
                nth += 1;
                continue;
            };
            let Sent { peer, owed, .. } = self.away.swap_remove(nth);
            if let Some(reply) = ended.reply {
                cx.io.send_to(cx.id, &reply, &peer);
            }
            if owed {
                cx.io.owe(cx.id, false);
            }
            match ended.result {
                Ok(Ok(())) => {}
                Ok(Err(error)) if Exit::is(&error) => {
                    if is_here {
                        exit = Err(error);
                    }
                }
                Ok(Err(error)) => self.failed(cx, &peer, &error, ended.crashed),
                Err(panic) => {
                    let what = format!("it panicked: {}", message_of(&*panic));
                    self.failed(cx, &peer, &io::Error::other(what), false);
                }
            }
        }
        exit
    }

    /// `untold`: the hook of the user could not be told.
    fn failed(&self, cx: &mut Context<'_, S>, peer: &Addr, error: &io::Error, untold: bool) {
        cx.io.ledger.packets_failed += 1;
        if untold || self.mode.handle_error.is_none() {
            self.mode.crew.warn(cx.io, peer, error);
        }
    }
}

impl<S, F, H> DatagramHandler<S> for Letters<S, F>
where
    S: 'static,
    F: FnMut(&Addr) -> H,
    H: Handler<S> + Send + 'static,
{
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        let handler = Box::new((self.factory)(peer));
        self.waiting.push_back(Letter { handler, packet: packet.to_vec(), peer: peer.clone() });
        cx.io.owe(cx.id, true);
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
        let detached = |sent: &&mut Sent| self.mode.detach && sent.owed && sent.away.is_thread();
        for sent in self.away.iter_mut().filter(detached) {
            sent.owed = false;
            cx.io.owe(cx.id, false);
        }
        Ok(())
    }
}
