//! A scripted conversation: the steps of a peer and what it expects.

use std::fmt;
use std::time::Duration;

use super::{Finished, Peer, TestServer};
use crate::handler::Handler;
use crate::stats::CloseReason;

/// The steps of a peer and what it expects; see the [tutorial](super).
///
/// ```
/// use socketserver::{Echo, CloseReason};
/// use socketserver::testing::Script;
///
/// Script::new()
///     .send("hello")
///     .expect("hello")
///     .end()
///     .expect("")
///     .expect_finished(CloseReason::Closed)
///     .play(Echo);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a script does nothing before it is played"]
pub struct Script {
    steps: Vec<ScriptStep>,
}

#[derive(Clone, Debug)]
enum ScriptStep {
    Send(Vec<u8>),
    Expect(Vec<u8>),
    SetRoom(usize),
    Advance(Duration),
    End,
    Reset,
    ExpectFinished(CloseReason),
}

impl Script {
    /// An empty script.
    pub fn new() -> Script {
        Script::default()
    }

    /// See [`Peer::send`].
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Script {
        self.then(ScriptStep::Send(bytes.into()))
    }

    /// Expects that exactly `bytes` were received since the last `expect`.
    pub fn expect(self, bytes: impl Into<Vec<u8>>) -> Script {
        self.then(ScriptStep::Expect(bytes.into()))
    }

    /// See [`Peer::set_room`].
    pub fn set_room(self, room: usize) -> Script {
        self.then(ScriptStep::SetRoom(room))
    }

    /// See [`TestServer::advance`].
    pub fn advance(self, time: Duration) -> Script {
        self.then(ScriptStep::Advance(time))
    }

    /// See [`Peer::end`].
    pub fn end(self) -> Script {
        self.then(ScriptStep::End)
    }

    /// See [`Peer::reset`].
    pub fn reset(self) -> Script {
        self.then(ScriptStep::Reset)
    }

    /// Expects that the conversation has ended for `reason`.
    pub fn expect_finished(self, reason: CloseReason) -> Script {
        self.then(ScriptStep::ExpectFinished(reason))
    }

    fn then(mut self, step: ScriptStep) -> Script {
        self.steps.push(step);
        self
    }

    /// Plays the script with `handler` on a new server.
    ///
    /// # Panics
    /// At the first step that fails.
    pub fn play<H: Handler + 'static>(&self, handler: H) {
        match TestServer::new() {
            Ok(mut server) => self.play_on(&mut server, handler),
            Err(error) => panic!("no server to play on: {error}"),
        }
    }

    /// Plays the script with `handler` on `server`.
    ///
    /// # Panics
    /// At the first step that fails.
    pub fn play_on<S, H>(&self, server: &mut TestServer<S>, handler: H)
    where
        H: Handler<S> + 'static,
    {
        let peer = match server.connect(handler) {
            Ok(peer) => peer,
            Err(error) => panic!("no connection to play on: {error}"),
        };
        server.run();
        for (nth, step) in self.steps.iter().enumerate() {
            if let Err(why) = play(step, server, &peer) {
                panic!("step {} of the script, {step}: {why}", nth + 1);
            }
        }
    }
}

fn play<S>(step: &ScriptStep, server: &mut TestServer<S>, peer: &Peer) -> Result<(), String> {
    match step {
        ScriptStep::Send(bytes) => peer.send(bytes),
        ScriptStep::SetRoom(room) => peer.set_room(*room),
        ScriptStep::Advance(time) => server.advance(*time),
        ScriptStep::End => peer.end(),
        ScriptStep::Reset => peer.reset(),
        ScriptStep::Expect(bytes) => {
            let received = peer.received();
            return if received == *bytes {
                Ok(())
            } else {
                Err(format!("got b\"{}\"", received.escape_ascii()))
            };
        }
        ScriptStep::ExpectFinished(reason) => {
            return match peer.finished() {
                Some(Finished { reason: found, .. }) if found == *reason => Ok(()),
                Some(other) => Err(format!("got {other:?}")),
                None => Err("it has not ended".to_string()),
            };
        }
    }
    server.run();
    Ok(())
}

impl fmt::Display for ScriptStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptStep::Send(bytes) => write!(f, "send b\"{}\"", bytes.escape_ascii()),
            ScriptStep::Expect(bytes) => write!(f, "expect b\"{}\"", bytes.escape_ascii()),
            ScriptStep::SetRoom(room) => write!(f, "room for {room} bytes"),
            ScriptStep::Advance(time) => write!(f, "advance {time:?}"),
            ScriptStep::End => f.write_str("end"),
            ScriptStep::Reset => f.write_str("reset"),
            ScriptStep::ExpectFinished(reason) => write!(f, "expect finished, {reason:?}"),
        }
    }
}
