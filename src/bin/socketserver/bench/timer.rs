//! Wakes the loop at an exact time.
//!
//! The loop's own timers, like those of every poll, count whole milliseconds, which is far too
//! coarse for a schedule of messages; and a poll with a timeout costs more than one without.

use std::io;
use std::time::Duration;

use socketserver::Server;

use super::load::Load;

#[cfg(not(target_os = "linux"))]
pub(crate) use coarse::PreciseTimer;
#[cfg(target_os = "linux")]
pub(crate) use exact::PreciseTimer;

#[cfg(target_os = "linux")]
mod exact {
    use std::os::fd::{AsFd, AsRawFd};
    use std::rc::Rc;

    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use socketserver::mio::event::Source;
    use socketserver::mio::unix::SourceFd;
    use socketserver::mio::{Interest, Registry, Token};

    use super::{Duration, Load, Server, io};

    /// A timer of the system that the loop watches like a socket.
    #[derive(Clone, Debug)]
    pub(crate) struct PreciseTimer(Rc<TimerFd>);

    impl PreciseTimer {
        /// From now on the load is told when it goes off.
        pub(crate) fn start(server: &mut Server<Load>) -> io::Result<Option<PreciseTimer>> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let alarm = PreciseTimer(Rc::new(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?));
            // It need not be read: setting it again is enough for the next edge.
            server.watch(alarm.clone(), Interest::READABLE, |cx, _, _| {
                cx.shared.is_called(cx.io);
                Ok(())
            })?;
            Ok(Some(alarm))
        }

        /// Goes off once, `after` from now.
        pub(crate) fn set(&self, after: Duration) {
            // Zero would mean never.
            let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
            let _ = self.0.set(Expiration::OneShot(after), TimerSetTimeFlags::empty());
        }
    }

    impl Source for PreciseTimer {
        fn register(&mut self, registry: &Registry, token: Token, i: Interest) -> io::Result<()> {
            SourceFd(&self.0.as_fd().as_raw_fd()).register(registry, token, i)
        }

        fn reregister(&mut self, registry: &Registry, token: Token, i: Interest) -> io::Result<()> {
            SourceFd(&self.0.as_fd().as_raw_fd()).reregister(registry, token, i)
        }

        fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            SourceFd(&self.0.as_fd().as_raw_fd()).deregister(registry)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use super::{Duration, Load, Server, io};

    /// There is none; the timeout of the poll has to do.
    #[derive(Clone, Debug)]
    pub(crate) enum PreciseTimer {}

    impl PreciseTimer {
        pub(crate) fn start(_server: &mut Server<Load>) -> io::Result<Option<PreciseTimer>> {
            Ok(None)
        }

        pub(crate) fn set(&self, _after: Duration) {}
    }
}
