//! What may happen to a stream between two turns, or inside a callback.

/// What may happen between two turns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// The peer sends one byte, or more than one turn takes.
    Arrive,
    ArriveMany,
    /// A place in the stream where a read stops: urgent data, or a passed descriptor.
    Cut,
    PeerEnds,
    /// Also: the connection is refused.
    PeerResets,
    /// The peer reads one byte, or all there is.
    PeerReads,
    PeerReadsAll,
    /// The next read, or the next write, is interrupted.
    Interrupt,
    /// An event without a cause.
    Spurious,
    /// The name is resolved, then the connection is established.
    Establish,
    /// The deadline for its silence comes up, and that for input that is held.
    IdleDue,
    FrameDue,
    /// The server shuts down.
    Shutdown,
    Send,
    SendMany,
    /// As `SendMany`, straight to the system if that can be, and without a copy.
    SendLarge,
    SendShared,
    /// The handler will answer what it is shown in its next turn.
    Answer,
    /// Another handler will send to it between the halves of its next turn.
    SendBetween,
    Pause,
    Resume,
    FullDuplex,
    HalfDuplex,
    ShutdownWrite,
    Close,
    Abort,
    /// A callback of the handler fails.
    Fail,
    /// The handler offloads work; a piece of that is done.
    Offload,
    Done,
    /// Its next callback does that, whichever it is.
    Inside(Inside),
}

/// What a callback does about its own connection while it runs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Inside {
    Pause,
    /// Pauses, takes no more, and resumes.
    PauseAndResume,
    FullDuplex,
    HalfDuplex,
    ShutdownWrite,
    Close,
    Abort,
}

pub(super) const ACTS: [Act; 36] = [
    Act::Arrive,
    Act::ArriveMany,
    Act::Cut,
    Act::PeerEnds,
    Act::PeerResets,
    Act::PeerReads,
    Act::PeerReadsAll,
    Act::Interrupt,
    Act::Spurious,
    Act::Establish,
    Act::IdleDue,
    Act::FrameDue,
    Act::Shutdown,
    Act::Send,
    Act::SendMany,
    Act::SendLarge,
    Act::SendShared,
    Act::Answer,
    Act::SendBetween,
    Act::Pause,
    Act::Resume,
    Act::FullDuplex,
    Act::HalfDuplex,
    Act::ShutdownWrite,
    Act::Close,
    Act::Abort,
    Act::Fail,
    Act::Offload,
    Act::Done,
    Act::Inside(Inside::Pause),
    Act::Inside(Inside::PauseAndResume),
    Act::Inside(Inside::FullDuplex),
    Act::Inside(Inside::HalfDuplex),
    Act::Inside(Inside::ShutdownWrite),
    Act::Inside(Inside::Close),
    Act::Inside(Inside::Abort),
];
