//! `chat`: each line goes to all other members of the room, whole and in order.
//!
//! A line is what ends with a newline, whatever bytes it is made of; what comes before the end of a
//! member's direction without one is a line too, as Python's `readline` has it. No member is outrun:
//! while a member that reads is behind, the speaker is paused. No member is
//! held up either: a member that read nothing for [`PATIENCE`] is not waited for any more, and when
//! too much waits for it, the server's output limit ends its connection.
//!
//! With several loops each has a [`ChatRoom`]; a [`Hub`] makes them one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use socketserver::{Context, Handler, Input, Io, SendStatus, SocketId, TimerId};

mod hub;

pub(crate) use hub::Hub;

/// How long a member may take nothing before the others go on without waiting for it.
const PATIENCE: Duration = Duration::from_millis(250);

/// What one member's input may cost in one call, in bytes to others; the rest of it waits for the next
/// turn. So the others of a loop wait for one speaker no longer than for one that sends large messages,
/// however many members the room has and however short the lines are.
const WORK_PER_CALL: usize = 512 << 10;

/// What a line to one member costs beside its bytes.
const LINE_COST: usize = 64;

/// The members, over all listeners of one loop.
#[derive(Default)]
pub(crate) struct ChatRoom {
    members: BTreeSet<SocketId>,
    /// The members that are behind.
    slow: BTreeMap<SocketId, Slow>,
    /// The members that spoke while another one was behind.
    paused: BTreeSet<SocketId>,
    /// The line on its way, kept only so that none has to be allocated.
    line: Vec<u8>,
    /// The rooms of the other loops, if there are any.
    others: Option<Others>,
}

struct Others {
    hub: Arc<Hub>,
    /// Which of its rooms this is.
    index: usize,
    /// The loops that are behind with what was said here.
    behind: BTreeSet<usize>,
    /// What was said there, on its way.
    lines: Vec<u8>,
}

/// A member that is behind.
enum Slow {
    /// The others wait for it. `unsent` bytes were queued at the last check; `timer` is the next.
    Awaited { unsent: usize, timer: TimerId },
    /// It has taken nothing for too long.
    Stuck,
}

impl Slow {
    fn awaited(io: &mut Io, member: SocketId) -> Slow {
        Slow::Awaited { unsent: io.pending_output(member), timer: io.set_timer(member, PATIENCE) }
    }
}

impl ChatRoom {
    /// The room of one of several loops.
    pub(crate) fn of_loop(hub: Arc<Hub>, index: usize) -> ChatRoom {
        let others = Others { hub, index, behind: BTreeSet::new(), lines: Vec::new() };
        ChatRoom { others: Some(others), ..ChatRoom::default() }
    }

    /// Sends the line to all members but the speaker. Returns whether a member is to be waited for.
    fn say(&mut self, io: &mut Io, speaker: SocketId) -> bool {
        let ChatRoom { members, slow, line, others, .. } = self;
        for &member in members.iter().filter(|&&member| member != speaker) {
            tell(io, member, line, slow);
        }
        if let Some(Others { hub, index, behind, .. }) = others {
            hub.say(*index, line, |other| {
                behind.insert(other);
            });
        }
        self.awaits_somebody()
    }

    /// A member of another loop has spoken. The line is sent when no member here is to be waited
    /// for; until then it stays in the inbox, and the speakers there wait.
    fn look_into_inbox(&mut self, io: &mut Io) {
        if self.awaits_somebody() {
            return;
        }
        let ChatRoom { members, slow, others: Some(Others { hub, index, lines, .. }), .. } = self
        else {
            return;
        };
        hub.take(*index, lines);
        if !lines.is_empty() {
            for &member in &*members {
                tell(io, member, lines, slow);
            }
            lines.clear();
        }
    }

    /// Another loop has taken what was said here.
    fn has_caught_up(&mut self, io: &mut Io, other: usize) {
        if let Some(others) = &mut self.others {
            others.behind.remove(&other);
        }
        self.go_on(io);
    }

    /// Whether other loops have to be waited for before anything more is said here.
    fn is_ahead(&self) -> bool {
        self.others.as_ref().is_some_and(|others| !others.behind.is_empty())
    }

    fn pause(&mut self, io: &mut Io, speaker: SocketId) {
        self.paused.insert(speaker);
        io.pause(speaker);
    }

    fn awaits_somebody(&self) -> bool {
        self.slow.values().any(|slow| matches!(slow, Slow::Awaited { .. }))
    }

    /// Resumes the paused members, if no member is left to be waited for.
    fn go_on(&mut self, io: &mut Io) {
        self.look_into_inbox(io);
        if !self.awaits_somebody() && !self.is_ahead() {
            while let Some(member) = self.paused.pop_first() {
                io.resume(member);
            }
        }
    }
}

fn tell(io: &mut Io, member: SocketId, lines: &[u8], slow: &mut BTreeMap<SocketId, Slow>) {
    if io.send(member, lines) == SendStatus::Congested {
        slow.entry(member).or_insert_with(|| Slow::awaited(io, member));
    }
}

/// Nobody in another loop waits for this one any more.
impl Drop for Others {
    fn drop(&mut self) {
        self.hub.close(self.index);
    }
}

pub(crate) struct Member {
    max_line: usize,
    /// What came before the end without a newline, while other loops are behind.
    last: Vec<u8>,
    /// When it is tried again to say that.
    again: Option<TimerId>,
}

impl Member {
    pub(crate) fn new(max_line: usize) -> Member {
        Member { max_line, last: Vec::new(), again: None }
    }

    /// Says the last line and goes, once the other loops have caught up: their inboxes are bounded.
    fn leave(&mut self, cx: &mut Context<'_, ChatRoom>) {
        if cx.shared.is_ahead() {
            self.again = Some(cx.set_timer(PATIENCE));
            return;
        }
        let room = &mut *cx.shared;
        room.line.clear();
        room.line.append(&mut self.last);
        room.line.push(b'\n');
        let _ = room.say(cx.io, cx.id);
        cx.close();
    }
}

impl Handler<ChatRoom> for Member {
    fn setup(&mut self, cx: &mut Context<'_, ChatRoom>) -> io::Result<()> {
        if let Some(others) = &cx.shared.others {
            others.hub.enter(others.index, || cx.handle());
        }
        cx.shared.members.insert(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, ChatRoom>, input: &mut Input<'_>) -> io::Result<()> {
        let mut work = 0;
        while !cx.shared.is_ahead() {
            if work > WORK_PER_CALL {
                // It goes on behind the others that have something to say.
                cx.io.pause(cx.id);
                cx.io.resume(cx.id);
                return Ok(());
            }
            let line = input.take_until(b'\n', self.max_line).inspect_err(|_| {
                warn!("{}: a line longer than {} bytes; closed", cx.id, self.max_line);
            })?;
            let Some(line) = line else { return Ok(()) };
            let room = &mut *cx.shared;
            work += room.members.len() * (line.len() + LINE_COST);
            room.line.clear();
            room.line.extend_from_slice(line);
            room.line.push(b'\n');
            if room.say(cx.io, cx.id) {
                break;
            }
        }
        // What is left is shown again when it goes on.
        cx.shared.pause(cx.io, cx.id);
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_, ChatRoom>, rest: &[u8]) -> io::Result<()> {
        if rest.is_empty() {
            cx.close();
        } else {
            self.last = rest.to_vec();
            self.leave(cx);
        }
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_, ChatRoom>) -> io::Result<()> {
        cx.shared.slow.remove(&cx.id);
        cx.shared.go_on(cx.io);
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, ChatRoom>, timer: TimerId) -> io::Result<()> {
        if self.again.take_if(|again| *again == timer).is_some() {
            self.leave(cx);
            return Ok(());
        }
        let Some(slow) = cx.shared.slow.get_mut(&cx.id) else { return Ok(()) };
        match *slow {
            Slow::Awaited { unsent, timer: awaited } if timer == awaited => {
                let took_some = cx.io.pending_output(cx.id) < unsent;
                *slow = if took_some { Slow::awaited(cx.io, cx.id) } else { Slow::Stuck };
            }
            // A timer of an earlier time when it was behind.
            _ => {}
        }
        cx.shared.go_on(cx.io);
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, ChatRoom>, _outcome: io::Result<()>) {
        let room = &mut *cx.shared;
        // A client that was never let in is no member.
        if room.members.remove(&cx.id) {
            if let Some(others) = &room.others {
                others.hub.leave(others.index);
            }
        }
        room.slow.remove(&cx.id);
        room.paused.remove(&cx.id);
        room.go_on(cx.io);
    }
}

#[cfg(test)]
mod tests;
