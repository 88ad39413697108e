//! One step of a script: what a peer, the kernel, the clock or the program does, or a turn of the loop.

use super::datagram_socket::Party;
use super::kernel::Call;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Connect(u32),
    Send(u32, u64),
    SendUrgent(u32),
    Pass(u32, u64),
    Receive(u32, u64),
    End(u32),
    Reset(u32),
    /// The next call of that kind has this error.
    Fault(Call, i32),
    /// So many descriptors may be open from now on.
    Descriptors(usize),
    /// The clock jumps this number of nanoseconds ahead.
    Jump(u64),
    /// The same, and the loop does not notice: it is stopped, or a callback is slow.
    Stall(u64),
    /// The poll of the next turn returns; what peers do until that turn is not in it.
    Look(u64),
    /// Somebody outside of every callback does something.
    Poke(u64),
    /// A piece of work that a handler has offloaded is done.
    Done(u32),
    Shutdown(u64),
    /// A datagram socket is opened.
    Bind(u32),
    /// A number of datagrams arrive from some address, of this length and a little more.
    Arrive(u32, Party, u32, u32),
    /// So many of what it sent arrive; a Unix socket's when that stranger reads them.
    Deliver(u32, Party, u32),
    /// A stranger is gone, or is there again.
    Gone(u32, u32, bool),
    /// The network tells it of an error.
    Tell(u32, i32),
    /// Receiving fails from now on, or does not any more.
    Break(u32, Option<i32>),
    /// Somebody outside of every callback does something to a datagram socket.
    PokePort(u64),
    /// An outgoing connection is begun.
    Dial(u32),
    /// A server answers at its destination.
    Answer(u32),
    /// What came of its name is told.
    LookUp(u32),
    Turn(u64),
}

impl Step {
    /// Whether it is something that is done between two turns only.
    pub(super) fn calls_the_server(self) -> bool {
        matches!(
            self,
            Step::Jump(_)
                | Step::Look(_)
                | Step::Poke(_)
                | Step::Done(_)
                | Step::Shutdown(_)
                | Step::Bind(_)
                | Step::PokePort(_)
                | Step::Dial(_)
        )
    }
}
