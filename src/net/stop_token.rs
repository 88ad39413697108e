//! Stops the reads of blocking handlers when their server stops.
//!
//! A pipe with one byte in it that is never read: it stays readable, so no wait can miss it, in a
//! thread as in a forked child. A `shutdown(2)` of the receiving direction would stop such reads
//! too, but after it, once our sending direction is closed, Linux answers further bytes of the peer
//! with a reset, and a Unix peer cannot write any more. Either destroys bytes that the peer has
//! still to receive.

#[cfg(all(unix, any(feature = "processes", feature = "sys")))]
mod system {
    use std::io::{self, PipeReader, PipeWriter, Write};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use socket2::Socket;

    use super::Waited;

    /// One for each run of a server; a request cannot be withdrawn.
    #[derive(Debug)]
    pub(crate) struct StopToken {
        reader: PipeReader,
        /// Kept open beside the reader, because its close would look like a request.
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

        /// Ends every wait, now and later; `false` if writing to the pipe fails.
        pub(crate) fn request(&self) -> bool {
            self.requested.swap(true, Ordering::AcqRel) || (&self.writer).write_all(&[0]).is_ok()
        }

        /// Asks the pipe, because a child has only a copy of the flag.
        pub(crate) fn is_requested(&self) -> bool {
            let mut polled = [PollFd::new(self.reader.as_fd(), PollFlags::POLLIN)];
            poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        }

        /// Waits until a stop is requested; `false` when none is within `longest`.
        #[cfg(feature = "processes")]
        pub(crate) fn wait_requested(&self, longest: Duration) -> bool {
            let end = std::time::Instant::now() + longest;
            loop {
                let left = end.saturating_duration_since(std::time::Instant::now());
                let mut polled = [PollFd::new(self.reader.as_fd(), PollFlags::POLLIN)];
                match poll(&mut polled, whole_milliseconds(left)) {
                    Ok(0) if left.is_zero() => return false,
                    Ok(1..) => return true,
                    _ => {}
                }
            }
        }

        /// Waits until `socket` has input, EOF or an error, or a stop is requested, at most for
        /// `longest`. It may return earlier with neither.
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

    /// Waits until `socket` has capacity for output, or an error; at most for `longest`.
    pub(crate) fn wait_writable(socket: &Socket, longest: Duration) -> io::Result<()> {
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        poll(&mut polled, whole_milliseconds(longest))?;
        Ok(())
    }

    /// Rounds up: a rest of less than a millisecond must not become a busy loop.
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

    /// No safe call waits for two descriptors here, so the receiving direction has to be shut down.
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

    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it waits")]
    pub(crate) fn wait_writable(_: &Socket, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) use system::{StopToken, wait_writable};

/// The result of a wait; neither is set when the time was over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waited {
    pub(crate) input: bool,
    pub(crate) stop: bool,
}
