//! The rooms of several loops, which are one room to their members.
//!
//! Each loop has an inbox for what is said in the others, bounded by [`INBOX`]. Who finds one full
//! has its speakers paused until that loop has told its members what lies there. A loop takes from
//! its inbox whether or not its own speakers are paused, so no two wait for each other; and a member
//! that takes nothing is waited for no longer than in one room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use socketserver::ServerHandle;

use super::ChatRoom;

/// Bytes in the inbox of a loop at which others wait for it. Each of them may have added one line
/// more.
const INBOX: usize = 64 << 10;

pub(crate) struct Hub {
    rooms: Vec<HubDoor>,
}

/// What the others know of the room of one loop.
#[derive(Default)]
struct HubDoor {
    handle: OnceLock<ServerHandle<ChatRoom>>,
    members: AtomicUsize,
    inbox: Mutex<LoopInbox>,
}

#[derive(Default)]
struct LoopInbox {
    lines: Vec<u8>,
    /// The loop has been told to look, and has not looked since.
    told: bool,
    /// The loops that found it full.
    waiting: Vec<usize>,
    /// The loop is gone.
    closed: bool,
}

impl Hub {
    pub(crate) fn new(loops: usize) -> Hub {
        Hub { rooms: (0..loops).map(|_| HubDoor::default()).collect() }
    }

    /// Somebody is in the room of a loop, which is reached by this handle.
    pub(super) fn enter(&self, index: usize, handle: impl FnOnce() -> ServerHandle<ChatRoom>) {
        if let Some(room) = self.rooms.get(index) {
            room.handle.get_or_init(handle);
            room.members.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn leave(&self, index: usize) {
        if let Some(room) = self.rooms.get(index) {
            room.members.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Puts a line that was said in one loop into the inboxes of the others, and calls `behind` with
    /// each loop that has to be waited for.
    pub(super) fn say(&self, from: usize, line: &[u8], mut behind: impl FnMut(usize)) {
        for (to, room) in self.rooms.iter().enumerate().filter(|(to, _)| *to != from) {
            if room.members.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let mut inbox = room.lock();
            if inbox.closed {
                continue;
            }
            inbox.lines.extend_from_slice(line);
            if inbox.lines.len() >= INBOX {
                behind(to);
                if !inbox.waiting.contains(&from) {
                    inbox.waiting.push(from);
                }
            }
            let tell = !std::mem::replace(&mut inbox.told, true);
            drop(inbox);
            if tell {
                self.call(to, ChatRoom::look_into_inbox);
            }
        }
    }

    /// Takes the lines of other loops, into an empty `Vec`, and resumes the speakers that waited.
    pub(super) fn take(&self, index: usize, lines: &mut Vec<u8>) {
        let Some(room) = self.rooms.get(index) else { return };
        let mut inbox = room.lock();
        inbox.told = false;
        std::mem::swap(&mut inbox.lines, lines);
        let waiting = std::mem::take(&mut inbox.waiting);
        drop(inbox);
        self.let_go_on(index, waiting);
    }

    /// The room of a loop is gone, and no speaker waits for it any more.
    pub(super) fn close(&self, index: usize) {
        let Some(room) = self.rooms.get(index) else { return };
        let mut inbox = room.lock();
        inbox.closed = true;
        let waiting = std::mem::take(&mut inbox.waiting);
        drop(inbox);
        self.let_go_on(index, waiting);
    }

    fn let_go_on(&self, index: usize, waiting: Vec<usize>) {
        for other in waiting {
            self.call(other, move |room, io| room.has_caught_up(io, index));
        }
    }

    /// At most one call to look and one from each other loop are under way to a loop, so there is
    /// room for them; a loop that is gone needs none.
    fn call(
        &self,
        index: usize,
        command: impl FnOnce(&mut ChatRoom, &mut socketserver::Io) + Send + 'static,
    ) {
        if let Some(handle) = self.rooms.get(index).and_then(|room| room.handle.get()) {
            let _ = handle.post(command);
        }
    }
}

impl HubDoor {
    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, LoopInbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
