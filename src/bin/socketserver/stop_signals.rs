//! The signals that ask this program to stop, by the rules of its surroundings: SIGHUP is one of
//! them (a terminal that goes, `systemctl`), what was ignored at the start stays so (`nohup`, and
//! SIGINT for what a shell puts into the background), and what was blocked is not any more.

#[cfg(unix)]
pub(crate) use unix::{Reaction, SAME_SIGNAL, StopRequests, heeded, repeats_end_at_once, unblock};

/// Where there are no Unix signals, Ctrl-C ends the program at once.
#[cfg(not(unix))]
pub(crate) fn unblock() {}

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal};
    use std::time::{Duration, Instant};

    use nix::sys::signal::{SigSet, Signal};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    const ALL: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

    /// Who started this program may have had reasons to block them for a moment, but a mask is
    /// inherited, and then nothing but SIGKILL would end it. Before there is a second thread.
    pub(crate) fn unblock() {
        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        // It fails only for what is no mask.
        let _ = signals.thread_unblock();
    }

    /// Those to be caught. With `also_ignored` all of them: the program that started this one needs
    /// a way to stop it, whatever was ignored where that one was started.
    pub(crate) fn heeded(also_ignored: bool) -> Vec<i32> {
        let ignored = if also_ignored { 0 } else { ignored() };
        ALL.into_iter().filter(|signal| ignored & bit(*signal) == 0).collect()
    }

    /// Whether the second one ends the program at once. A terminal that goes sends SIGHUP twice, by
    /// the kernel and by the shell, and no user is impatient then.
    pub(crate) fn repeats_end_at_once(signal: i32) -> bool {
        signal != SIGHUP
    }

    /// The same signal within this time is one signal that was sent twice: timeout(1) sends it to its
    /// child, and to the group in which that is.
    pub(crate) const SAME_SIGNAL: Duration = Duration::from_millis(100);

    /// What a signal that asks for a stop means.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) enum Reaction {
        Stop,
        Nothing,
        /// Ends the program at once with this code.
        Exit(i32),
    }

    /// The first signal that asked for a stop, and when.
    #[derive(Debug, Default)]
    pub(crate) struct StopRequests(Option<(i32, Instant)>);

    impl StopRequests {
        pub(crate) fn note(&mut self, signal: i32, now: Instant) -> Reaction {
            let Some((first, at)) = self.0 else {
                self.0 = Some((signal, now));
                return Reaction::Stop;
            };
            let is_same = signal == first && now.saturating_duration_since(at) < SAME_SIGNAL;
            if is_same || !repeats_end_at_once(signal) {
                return Reaction::Nothing;
            }
            Reaction::Exit(128 + signal)
        }
    }

    fn bit(signal: i32) -> u64 {
        u32::try_from(signal - 1).ok().and_then(|n| 1_u64.checked_shl(n)).unwrap_or(0)
    }

    /// What this process ignores, a bit for each signal. Asked before any handler is there.
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        of_status(&status).unwrap_or_else(|| {
            // Elsewhere it cannot be asked without `unsafe`; but what runs under `nohup`, or
            // as a daemon, has no terminal.
            let has_terminal = io::stdin().is_terminal()
                || io::stdout().is_terminal()
                || io::stderr().is_terminal();
            if has_terminal { 0 } else { bit(SIGHUP) }
        })
    }

    /// The line `SigIgn` of proc(5).
    fn of_status(status: &str) -> Option<u64> {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_same_signal_at_once_is_one_and_later_ends_the_program() {
            let begin = Instant::now();
            let after = |millis| begin + Duration::from_millis(millis);
            let mut stops = StopRequests::default();
            assert_eq!(stops.note(SIGTERM, begin), Reaction::Stop);
            assert_eq!(stops.note(SIGTERM, begin), Reaction::Nothing);
            assert_eq!(stops.note(SIGTERM, after(99)), Reaction::Nothing);
            assert_eq!(stops.note(SIGTERM, after(100)), Reaction::Exit(143));
            assert_eq!(stops.note(SIGINT, after(1)), Reaction::Exit(130), "another signal");
            assert_eq!(stops.note(SIGHUP, after(1_000)), Reaction::Nothing);

            let mut stops = StopRequests::default();
            assert_eq!(stops.note(SIGHUP, begin), Reaction::Stop);
            assert_eq!(stops.note(SIGHUP, after(1_000)), Reaction::Nothing);
            assert_eq!(stops.note(SIGTERM, after(1_000)), Reaction::Exit(143));
        }

        #[test]
        fn the_mask_of_ignored_signals_is_read() {
            let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
            let mask = of_status(status).unwrap();
            assert_eq!(mask & bit(SIGHUP), 1);
            assert_eq!((mask & bit(SIGTERM), mask & bit(13)), (0, 0x1000));
            assert_eq!(of_status("SigCgt:\t1\n"), None);
        }
    }
}
