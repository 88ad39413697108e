//! What ends the reads of blocking handlers when their server stops.
//!
//! A pipe with one byte in it that is never taken: readable from then on, which a wait cannot miss,
//! in a thread as in a forked child. A `shutdown(2)` of the reading direction would end such reads too,
//! but behind it Linux answers what the peer still sends with a reset once our own end is said, and a
//! Unix peer cannot even write any more; either destroys what the peer has still to get.

#[cfg(all(unix, any(feature = "processes", feature = "sys")))]
mod system {
    use std::io::{self, PipeReader, PipeWriter, Write};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use socket2::Socket;

    use super::Waited;

    /// One for each run of a server; it is requested once and for ever.
    #[derive(Debug)]
    pub(crate) struct StopToken {
        reader: PipeReader,
        /// Kept beside the reader, so that the end of the server is not taken for its stop.
        writer: PipeWriter,
        requested: AtomicBool,
    }

    impl StopToken {
        /// Whether [`StopToken::wait`] waits.
        pub(crate) const WAITS: bool = true;

        pub(crate) fn new() -> io::Result<StopToken> {
            let (reader, writer) = io::pipe()?;
            Ok(StopToken { reader, writer, requested: AtomicBool::new(false) })
        }

        /// Ends every wait with it, now and later; `false` when it cannot.
        pub(crate) fn request(&self) -> bool {
            self.requested.swap(true, Ordering::AcqRel) || (&self.writer).write_all(&[0]).is_ok()
        }

        /// Asks the system, since a child has but a copy of the flag.
        pub(crate) fn is_requested(&self) -> bool {
            let mut polled = [PollFd::new(self.reader.as_fd(), PollFlags::POLLIN)];
            poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        }

        /// Waits until `socket` has something to read, or has ended or failed, or a stop is requested;
        /// not longer than `longest`, which may end earlier with neither.
        pub(crate) fn wait(
            &self,
            socket: &Socket,
            longest: Option<Duration>,
        ) -> io::Result<Waited> {
            let mut polled = [
                PollFd::new(socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.reader.as_fd(), PollFlags::POLLIN),
            ];
            poll(&mut polled, longest.map_or(PollTimeout::NONE, whole_milliseconds))?;
            let [input, stop] = polled.map(|polled| polled.any().unwrap_or(true));
            Ok(Waited { input, stop })
        }
    }

    /// Rounded up: what is left of a time is not waited for in vain again and again.
    fn whole_milliseconds(time: Duration) -> PollTimeout {
        let milliseconds = time.as_nanos().div_ceil(1_000_000);
        PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
    }
}

#[cfg(not(all(unix, any(feature = "processes", feature = "sys"))))]
mod system {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use socket2::Socket;

    use super::Waited;

    /// Where nothing safe waits for two descriptors, the reading direction has to be ended after all.
    #[derive(Debug, Default)]
    pub(crate) struct StopToken(AtomicBool);

    impl StopToken {
        pub(crate) const WAITS: bool = false;

        #[expect(clippy::unnecessary_wraps, reason = "elsewhere it is a pipe")]
        pub(crate) fn new() -> io::Result<StopToken> {
            Ok(StopToken::default())
        }

        pub(crate) fn request(&self) -> bool {
            self.0.store(true, Ordering::Release);
            false
        }

        pub(crate) fn is_requested(&self) -> bool {
            self.0.load(Ordering::Acquire)
        }

        #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "elsewhere it waits")]
        pub(crate) fn wait(&self, _: &Socket, _: Option<Duration>) -> io::Result<Waited> {
            Ok(Waited { input: true, stop: false })
        }
    }
}

pub(crate) use system::StopToken;

/// What a wait has ended with; neither when its time was over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waited {
    pub(crate) input: bool,
    pub(crate) stop: bool,
}
