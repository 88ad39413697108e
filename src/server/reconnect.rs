//! A connection that is made again whenever it ends, with exponential backoff.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::{Duration, Instant};

use crate::conn::input::Input;
use crate::foreign::{self, ForeignCode};
use crate::handler::{Context, Handler};
use crate::id::{SocketId, TimerId};
use crate::io::connect::{Connect, IntoConnect};
use crate::server::Server;
use crate::stats::CloseReason;

/// Keeps one outgoing connection established. Each time it ends or fails, it is made again with a
/// new handler, until the factory returns `None` or the server shuts down.
///
/// The pause before the next attempt starts with [`Reconnect::initial_backoff`], doubles each time
/// up to [`Reconnect::max_backoff`], and starts over once a connection was established for as long
/// as the longest pause. Each pause is random between half of it and all of it, so that many
/// clients of a restarted server do not reconnect at the same time. While
/// [`Options::max_connections`](crate::Options::max_connections) are open, it waits for that pause
/// again and again until one has ended.
///
/// A panic in the factory ends it; a panic in a handler ends that connection only.
///
/// ```
/// use socketserver::{Echo, Reconnect, Server};
///
/// let mut server = Server::new()?;
/// let mut attempts = 3;
/// Reconnect::new("127.0.0.1:7000", move |ended| {
///     // `ended` is why the last connection is over, `None` the first time.
///     println!("connecting again after {ended:?}");
///     attempts -= 1;
///     (attempts > 0).then_some(Echo)
/// })?
/// .start(&mut server)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reconnect<F> {
    connect: Connect,
    initial_backoff: Duration,
    max_backoff: Duration,
    make: F,
}

impl<F> Reconnect<F> {
    /// Connects to `addr`; `make` returns a handler for each attempt, and gets the reason why the
    /// last one ended.
    ///
    /// # Errors
    /// When `addr` is not an address.
    pub fn new(addr: impl IntoConnect, make: F) -> io::Result<Reconnect<F>> {
        let connect = addr.into_connect()?;
        let (initial_backoff, max_backoff) = (Duration::from_millis(100), Duration::from_secs(30));
        Ok(Reconnect { connect, initial_backoff, max_backoff, make })
    }

    /// The pause before the second attempt; at least 1 ms. Default: 100 ms.
    #[must_use]
    pub fn initial_backoff(mut self, pause: Duration) -> Reconnect<F> {
        self.initial_backoff = pause;
        self
    }

    /// The longest pause, also for the first; at least 1 ms. Default: 30 s.
    #[must_use]
    pub fn max_backoff(mut self, pause: Duration) -> Reconnect<F> {
        self.max_backoff = pause;
        self
    }

    /// Without a pause, a server that rejects connections would be tried in a busy loop.
    fn check(&self) -> io::Result<()> {
        for (name, pause) in
            [("initial_backoff", self.initial_backoff), ("max_backoff", self.max_backoff)]
        {
            if pause < MIN_BACKOFF {
                let what =
                    format!("Reconnect::{name} must be at least {MIN_BACKOFF:?}, not {pause:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        }
        Ok(())
    }

    /// Starts the first connection, if `make` returns a handler. When it fails, even at once,
    /// another one follows.
    ///
    /// # Errors
    /// When the server accepts no more connections, or none of the addresses is allowed;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when a pause is shorter than 1 ms.
    pub fn start<S, H>(self, server: &mut Server<S>) -> io::Result<Option<SocketId>>
    where
        S: 'static,
        F: FnMut(Option<CloseReason>) -> Option<H> + 'static,
        H: Handler<S> + 'static,
    {
        self.check()?;
        let Some(attempt) = ReconnectAttempt::new(self) else { return Ok(None) };
        let connect = attempt.policy.connect.clone().fails_later();
        server.connect(connect, Reconnecting(Some(attempt))).map(Some)
    }

    /// Like [`Reconnect::start`], from inside a callback.
    ///
    /// # Errors
    /// As [`Reconnect::start`].
    pub fn start_in<S, H>(self, cx: &mut Context<'_, S>) -> io::Result<Option<SocketId>>
    where
        S: 'static,
        F: FnMut(Option<CloseReason>) -> Option<H> + 'static,
        H: Handler<S> + 'static,
    {
        self.check()?;
        let Some(attempt) = ReconnectAttempt::new(self) else { return Ok(None) };
        let connect = attempt.policy.connect.clone().fails_later();
        cx.connect(connect, Reconnecting(Some(attempt))).map(Some)
    }
}

/// The shortest pause: a thousand attempts a second.
const MIN_BACKOFF: Duration = Duration::from_millis(1);

/// One attempt and the connection it makes.
struct ReconnectAttempt<H, F> {
    handler: H,
    policy: Reconnect<F>,
    /// The pause after this attempt, if it fails.
    pause: Duration,
    /// When it was established.
    established_at: Option<Instant>,
}

/// An attempt until it is over.
struct Reconnecting<H, F>(Option<ReconnectAttempt<H, F>>);

impl<H, F: FnMut(Option<CloseReason>) -> Option<H>> ReconnectAttempt<H, F> {
    fn new(mut policy: Reconnect<F>) -> Option<ReconnectAttempt<H, F>> {
        let handler = (policy.make)(None)?;
        let pause = policy.initial_backoff;
        Some(ReconnectAttempt { handler, policy, pause, established_at: None })
    }

    /// The next attempt, and the pause before it.
    fn next(
        mut self,
        ended: Option<CloseReason>,
        now: Instant,
    ) -> Option<(ReconnectAttempt<H, F>, Duration)> {
        foreign::discard(ForeignCode::HandlerDrop, None, self.handler);
        let make = || (self.policy.make)(ended);
        let handler = foreign::run(ForeignCode::ReconnectFactory, None, make).flatten()?;
        let lasted =
            self.established_at.is_some_and(|since| now - since >= self.policy.max_backoff);
        let pause = if lasted {
            self.policy.initial_backoff
        } else {
            self.pause.min(self.policy.max_backoff)
        };
        let next = ReconnectAttempt {
            handler,
            pause: pause.saturating_mul(2),
            policy: self.policy,
            established_at: None,
        };
        Some((next, spread(pause)))
    }
}

/// A random time between half of `pause` and `pause`.
fn spread(pause: Duration) -> Duration {
    // The only source of randomness in the standard library; it need not be a good one.
    let chance = RandomState::new().hash_one(0) as u32 % 1_024;
    pause / 2 + pause / 2_048 * chance
}

impl<S, H, F> Handler<S> for Reconnecting<H, F>
where
    S: 'static,
    F: FnMut(Option<CloseReason>) -> Option<H> + 'static,
    H: Handler<S> + 'static,
{
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        let Some(attempt) = &mut self.0 else { return Ok(()) };
        attempt.established_at = Some(cx.io.now());
        attempt.handler.setup(cx)
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |attempt| attempt.handler.handle(cx, input))
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |attempt| attempt.handler.eof(cx, rest))
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |attempt| attempt.handler.drained(cx))
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |attempt| attempt.handler.timeout(cx, timer))
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |attempt| attempt.handler.shutdown(cx))
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let Some(mut attempt) = self.0.take() else { return };
        foreign::run(ForeignCode::Callback, Some(cx.id), || attempt.handler.finish(cx, outcome));
        // A server that is dropped aborts its connections for this reason too.
        if cx.io.is_shutting_down() || cx.reason() == Some(CloseReason::ShutdownTimeout) {
            return foreign::discard(ForeignCode::HandlerDrop, None, attempt.handler);
        }
        if let Some((next, pause)) = attempt.next(cx.reason(), cx.io.now()) {
            let connect = next.policy.connect.clone().delay(pause);
            let (io, id) = (&mut *cx.io, Some(cx.id));
            let begun = cx.registrar.connect_or_return(io, id, connect, Reconnecting(Some(next)));
            if let Err((error, waiting)) = begun {
                log::debug!("{}: cannot connect again yet: {error}", cx.id);
                wait_for_capacity(cx, waiting, pause);
            }
        }
    }
}

/// Tries again after each `pause`, because the server takes no more connections.
fn wait_for_capacity<S, H, F>(cx: &mut Context<'_, S>, waiting: Reconnecting<H, F>, pause: Duration)
where
    S: 'static,
    F: FnMut(Option<CloseReason>) -> Option<H> + 'static,
    H: Handler<S> + 'static,
{
    let mut waiting = Some(waiting);
    let timer = cx.registrar.alarm(cx.io, move |cx| {
        let next = waiting.take().filter(|_| !cx.io.is_shutting_down());
        let Some((next, connect)) = next.and_then(Reconnecting::with_target) else {
            cx.close();
            return Ok(());
        };
        match cx.registrar.connect_or_return(cx.io, None, connect, next) {
            Ok(_) => cx.close(),
            Err((_, next)) => {
                waiting = Some(next);
                cx.set_timer(pause);
            }
        }
        Ok(())
    });
    match timer {
        Ok(timer) => drop(cx.io.set_timer(timer, pause)),
        Err(error) => log::warn!("{}: cannot connect again: {error}", cx.id),
    }
}

impl<H, F> Reconnecting<H, F> {
    fn with_target(self) -> Option<(Reconnecting<H, F>, Connect)> {
        let connect = self.0.as_ref()?.policy.connect.clone();
        Some((self, connect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Echo;

    const MS: Duration = Duration::from_millis(1);

    /// An attempt whose pauses go from 100 ms to 1 s.
    fn row() -> ReconnectAttempt<Echo, impl FnMut(Option<CloseReason>) -> Option<Echo>> {
        let again = Reconnect::new("127.0.0.1:7000", |_| Some(Echo)).unwrap();
        ReconnectAttempt::new(again.initial_backoff(100 * MS).max_backoff(1_000 * MS)).unwrap()
    }

    /// Whether `pause` is between half of `whole` and `whole`.
    fn is_of(pause: Duration, whole: Duration) -> bool {
        (whole / 2..=whole).contains(&pause)
    }

    #[test]
    fn each_pause_is_random_within_its_upper_half() {
        let drawn: Vec<Duration> = (0..200).map(|_| spread(1_000 * MS)).collect();
        assert!(drawn.iter().all(|pause| is_of(*pause, 1_000 * MS)), "{drawn:?}");
        let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*least < 700 * MS && *most > 800 * MS, "all come back at once: {least:?} {most:?}");
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let now = Instant::now();
        let mut attempt = row();
        for whole in [100, 200, 400, 800, 1_000, 1_000] {
            let (next, pause) = attempt.next(None, now).unwrap();
            assert!(is_of(pause, whole * MS), "{pause:?} of {whole}");
            attempt = next;
        }
    }

    #[test]
    fn pauses_start_over_after_a_connection_as_long_as_the_longest() {
        let began = Instant::now();
        for (lasted, whole) in [(999, 800), (1_000, 100), (5_000, 100)] {
            let mut attempt = row();
            for _ in 0..3 {
                attempt = attempt.next(None, began).unwrap().0;
            }
            attempt.established_at = Some(began);
            let (next, pause) = attempt.next(None, began + lasted * MS).unwrap();
            assert!(is_of(pause, whole * MS), "{pause:?} of {whole} after {lasted}");
            // And from there they double again.
            let (_, pause) = next.next(None, began + lasted * MS).unwrap();
            assert!(is_of(pause, (2 * whole).min(1_000) * MS), "{pause:?} after {lasted}");
        }
    }
}
