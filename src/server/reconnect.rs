//! A connection that is made again whenever it ends, with longer and longer pauses between.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::{Duration, Instant};

use crate::conn::input::Input;
use crate::handler::{Context, Handler};
use crate::id::{SocketId, TimerId};
use crate::io::connect::{Connect, IntoConnect};
use crate::server::Server;
use crate::stats::CloseReason;

/// Keeps one outgoing connection standing. Each time it ends, or does not come about, it is made
/// again with a handler of its own, until the factory gives none or the server shuts down.
///
/// The pause before the next attempt begins with [`Reconnect::initial_backoff`], doubles each time up to
/// [`Reconnect::max_backoff`], and starts over once a connection has stood for as long as the longest
/// pause. Each is drawn from its upper half, so that many clients of a server that restarts do not
/// come back all at once.
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
    /// To this address, with a handler that `make` gives for each attempt; it is told why the last
    /// one ended.
    ///
    /// # Errors
    /// When it is no address, or the name is unknown.
    pub fn new(addr: impl IntoConnect, make: F) -> io::Result<Reconnect<F>> {
        let connect = addr.into_connect()?;
        let (initial_backoff, max_backoff) = (Duration::from_millis(100), Duration::from_secs(30));
        Ok(Reconnect { connect, initial_backoff, max_backoff, make })
    }

    /// The pause before the second attempt; longer than nothing. Default: 100 ms.
    #[must_use]
    pub fn initial_backoff(mut self, pause: Duration) -> Reconnect<F> {
        self.initial_backoff = pause;
        self
    }

    /// The longest pause, of the first one too; longer than nothing. Default: 30 s.
    #[must_use]
    pub fn max_backoff(mut self, pause: Duration) -> Reconnect<F> {
        self.max_backoff = pause;
        self
    }

    /// Without a pause a server that refuses would be tried all the time.
    fn check(&self) -> io::Result<()> {
        for (name, pause) in
            [("initial_backoff", self.initial_backoff), ("max_backoff", self.max_backoff)]
        {
            if pause.is_zero() {
                let what = format!("Reconnect::{name} must be longer than nothing");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        }
        Ok(())
    }

    /// Begins the first connection, if there is to be one. When that fails, however soon, another one
    /// follows.
    ///
    /// # Errors
    /// When the server takes no more connections, or none of the addresses is allowed;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when a pause is none.
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

    /// The same from inside a callback.
    ///
    /// # Errors
    /// As of [`Reconnect::start`].
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

/// One connection of the row.
struct ReconnectAttempt<H, F> {
    handler: H,
    policy: Reconnect<F>,
    /// The pause after this one, if it fails.
    pause: Duration,
    /// Since when it stands.
    stands: Option<Instant>,
}

/// An attempt until it is over.
struct Reconnecting<H, F>(Option<ReconnectAttempt<H, F>>);

impl<H, F: FnMut(Option<CloseReason>) -> Option<H>> ReconnectAttempt<H, F> {
    fn new(mut policy: Reconnect<F>) -> Option<ReconnectAttempt<H, F>> {
        let handler = (policy.make)(None)?;
        let pause = policy.initial_backoff;
        Some(ReconnectAttempt { handler, policy, pause, stands: None })
    }

    /// What follows on this one, and after which pause.
    fn next(
        mut self,
        ended: Option<CloseReason>,
        now: Instant,
    ) -> Option<(ReconnectAttempt<H, F>, Duration)> {
        let handler = (self.policy.make)(ended)?;
        let lasted = self.stands.is_some_and(|since| now - since >= self.policy.max_backoff);
        let pause = if lasted {
            self.policy.initial_backoff
        } else {
            self.pause.min(self.policy.max_backoff)
        };
        let next = ReconnectAttempt {
            handler,
            pause: pause.saturating_mul(2),
            policy: self.policy,
            stands: None,
        };
        Some((next, spread(pause)))
    }
}

/// A time from the upper half of `pause`.
fn spread(pause: Duration) -> Duration {
    // The standard library's only source of chance; it need not be a good one.
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
        attempt.stands = Some(cx.io.now());
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
        attempt.handler.finish(cx, outcome);
        if cx.io.is_shutting_down() {
            return;
        }
        if let Some((next, pause)) = attempt.next(cx.reason(), cx.io.now()) {
            let connect = next.policy.connect.clone().delay(pause);
            // It fails only when the server takes no more connections, and then this one neither.
            if let Err(error) = cx.connect(connect, Reconnecting(Some(next))) {
                log::warn!("{}: cannot connect again: {error}", cx.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Echo;

    const MS: Duration = Duration::from_millis(1);

    /// An attempt of a row whose pauses go from 100 ms to 1 s.
    fn row() -> ReconnectAttempt<Echo, impl FnMut(Option<CloseReason>) -> Option<Echo>> {
        let again = Reconnect::new("127.0.0.1:7000", |_| Some(Echo)).unwrap();
        ReconnectAttempt::new(again.initial_backoff(100 * MS).max_backoff(1_000 * MS)).unwrap()
    }

    /// Whether it may have been drawn from the upper half of this.
    fn is_of(pause: Duration, whole: Duration) -> bool {
        (whole / 2..=whole).contains(&pause)
    }

    #[test]
    fn each_pause_is_drawn_from_the_upper_half_of_what_it_could_be() {
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
    fn pauses_start_over_behind_a_connection_that_stood_as_long_as_the_longest() {
        let began = Instant::now();
        for (stood, whole) in [(999, 800), (1_000, 100), (5_000, 100)] {
            let mut attempt = row();
            for _ in 0..3 {
                attempt = attempt.next(None, began).unwrap().0;
            }
            attempt.stands = Some(began);
            let (next, pause) = attempt.next(None, began + stood * MS).unwrap();
            assert!(is_of(pause, whole * MS), "{pause:?} of {whole} after {stood}");
            // And from there they double again.
            let (_, pause) = next.next(None, began + stood * MS).unwrap();
            assert!(is_of(pause, (2 * whole).min(1_000) * MS), "{pause:?} after {stood}");
        }
    }
}
