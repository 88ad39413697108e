//! `chat`: each line goes to everybody else in the room, whole and in order.
//!
//! A line is what ends with a newline, whatever bytes it is made of; a last piece without one is
//! dropped. Nobody is outrun: while a member who reads is behind, who speaks is paused. Nobody is
//! held up either: a member who took nothing for [`PATIENCE`] is not waited for any more, and when
//! too much waits for it, the server's output limit ends its connection.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use log::warn;
use socketserver::{Context, Handler, Input, Io, Sent, SocketId, TimerId};

/// How long a member may take nothing before the others go on without waiting for it.
const PATIENCE: Duration = Duration::from_millis(250);

/// Everybody who is there, over all listeners.
#[derive(Default)]
pub(crate) struct Room {
    members: BTreeSet<SocketId>,
    /// Those who are behind.
    slow: BTreeMap<SocketId, Slow>,
    /// Those who spoke while somebody was behind.
    paused: BTreeSet<SocketId>,
    /// The line on its way, kept only so that none has to be allocated.
    line: Vec<u8>,
}

/// A member who is behind.
enum Slow {
    /// The others wait for it; so much was unsent when it was looked at last, and at the timer it
    /// is looked at again.
    Awaited { unsent: usize, timer: TimerId },
    /// It has taken nothing for too long.
    Stuck,
}

impl Slow {
    fn awaited(io: &mut Io, member: SocketId) -> Slow {
        Slow::Awaited { unsent: io.unsent(member), timer: io.set_timer(member, PATIENCE) }
    }
}

impl Room {
    /// Sends the line to everybody but who said it. Says whether somebody is to be waited for.
    fn say(&mut self, io: &mut Io, speaker: SocketId) -> bool {
        for &member in self.members.iter().filter(|&&member| member != speaker) {
            if io.send(member, &self.line) == Sent::Congested {
                self.slow.entry(member).or_insert_with(|| Slow::awaited(io, member));
            }
        }
        self.awaits_somebody()
    }

    fn awaits_somebody(&self) -> bool {
        self.slow.values().any(|slow| matches!(slow, Slow::Awaited { .. }))
    }

    /// Lets those go on who were paused, if nobody is left to be waited for.
    fn go_on(&mut self, io: &mut Io) {
        if !self.awaits_somebody() {
            while let Some(member) = self.paused.pop_first() {
                io.resume(member);
            }
        }
    }
}

pub(crate) struct Member {
    max_line: usize,
}

impl Member {
    pub(crate) fn new(max_line: usize) -> Member {
        Member { max_line }
    }
}

impl Handler<Room> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Room>) -> io::Result<()> {
        cx.shared.members.insert(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, Room>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.take_until(b'\n', self.max_line).inspect_err(|_| {
            warn!("{}: a line longer than {} bytes; closed", cx.id, self.max_line);
        })? {
            let room = &mut *cx.shared;
            room.line.clear();
            room.line.extend_from_slice(line);
            room.line.push(b'\n');
            if room.say(cx.io, cx.id) {
                room.paused.insert(cx.id);
                cx.io.pause(cx.id);
                break;
            }
        }
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_, Room>) -> io::Result<()> {
        cx.shared.slow.remove(&cx.id);
        cx.shared.go_on(cx.io);
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, Room>, timer: TimerId) -> io::Result<()> {
        let Some(slow) = cx.shared.slow.get_mut(&cx.id) else { return Ok(()) };
        match *slow {
            Slow::Awaited { unsent, timer: awaited } if timer == awaited => {
                let took_some = cx.io.unsent(cx.id) < unsent;
                *slow = if took_some { Slow::awaited(cx.io, cx.id) } else { Slow::Stuck };
            }
            // A timer of an earlier time when it was behind.
            _ => {}
        }
        cx.shared.go_on(cx.io);
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Room>, _outcome: io::Result<()>) {
        let room = &mut *cx.shared;
        room.members.remove(&cx.id);
        room.slow.remove(&cx.id);
        room.paused.remove(&cx.id);
        room.go_on(cx.io);
    }
}
