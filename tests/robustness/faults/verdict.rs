//! Whether a run with a fault went as it must.

use super::play::{Fate, Fault, Kind, Played};
use super::trace::{self, Site};
use crate::accounts::Accounts;

/// More system calls than this in a run of a few clients, and as many for each millisecond, and it
/// spins. What fails for good is tried 65 times each 100 ms.
const MOST_CALLS: u128 = 2_000;
const MOST_CALLS_A_MILLISECOND: u128 = 1;
/// More than this of a log, and it floods.
const MOST_LOG: usize = 8 << 10;

pub(crate) struct Verdict {
    /// Where the first call was failed; `None` when it was never made.
    pub(crate) site: Option<Site>,
    pub(crate) outcome: String,
    pub(crate) problem: Option<String>,
}

pub(crate) fn judge(kind: Kind, fault: Option<&Fault>, played: &Played) -> Verdict {
    let calls = trace::read(&played.trace, &played.console);
    let failed: Vec<&str> =
        calls.iter().filter(|call| call.injected).map(|call| call.site.as_str()).collect();
    let run = Ended { kind, fault, played, calls: calls.len(), failed: &failed };
    let problem = run.problem();
    let problem = problem.map(|what| format!("{what} ({:?})\n{}", played.fates, played.log));
    Verdict { site: failed.first().map(ToString::to_string), outcome: run.outcome(), problem }
}

/// A run and what was done to it.
struct Ended<'a> {
    kind: Kind,
    fault: Option<&'a Fault>,
    played: &'a Played,
    calls: usize,
    failed: &'a [&'a str],
}

impl Ended<'_> {
    fn outcome(&self) -> String {
        let lost = self.count(Fate::Lost);
        match self.played.code {
            _ if self.failed.is_empty() => "not reached".into(),
            _ if self.played.killed => "does not stop".into(),
            _ if self.played.asked_twice => "serves, stops at the second signal".into(),
            Some(0) if lost > 0 && self.lasts() => "lives on, can serve nobody, stops".into(),
            Some(0) if lost > 0 => "serves on, the failed connection is lost".into(),
            Some(0) if self.count(Fate::Late) > 0 => "serves on, goes on at the next event".into(),
            Some(0) => "serves on, nothing lost".into(),
            Some(1) if self.played.fates.is_empty() => "does not start: exit 1, one message".into(),
            Some(1) => "the poll is broken: exit 1, one message".into(),
            code => format!("exit code {code:?}"),
        }
    }

    fn problem(&self) -> Option<String> {
        let Played { log, code, fates, .. } = self.played;
        let complaints = log.lines().filter(|line| line.starts_with("error: ")).count();
        if log.contains("panicked") || !matches!(code, Some(0 | 1)) && !self.may_be_deaf() {
            return Some(format!("it ended with {code:?}"));
        }
        if self.played.asked_twice && !self.may_be_deaf() {
            return Some("it does not stop".into());
        }
        let most = MOST_CALLS + MOST_CALLS_A_MILLISECOND * self.played.took.as_millis();
        if self.calls as u128 > most {
            return Some(format!("it spins: {} system calls", self.calls));
        }
        if log.len() > MOST_LOG {
            return Some(format!("it floods its log: {} bytes", log.len()));
        }
        if *code == Some(1) {
            let may = fates.is_empty() || self.has_failed("epoll_wait");
            return match complaints {
                _ if !may => Some("it gave up".into()),
                1 => None,
                _ => Some(format!("{complaints} messages instead of one")),
            };
        }
        self.wrong_fate().or_else(|| self.imbalance())
    }

    fn wrong_fate(&self) -> Option<String> {
        let lost = self.count(Fate::Lost);
        if self.count(Fate::Wrong) > 0 {
            return Some("other bytes came back than were sent".into());
        }
        let packets = matches!(self.kind, Kind::Udp | Kind::Unixgram);
        let lies = self.fault.is_some_and(Fault::lies);
        if packets && lies && self.failed.len() > 1 {
            // What lies in the socket is found later each time.
            return None;
        }
        // In each process calls are counted anew, so each client may have met the fault.
        if self.lasts() || self.kind == Kind::Processes {
            return None;
        }
        if !matches!(self.played.fates.last(), Some(Fate::Served | Fate::Late)) {
            return Some("nobody is served any more".into());
        }
        // A descriptor that is not closed tells nobody so, and who is not woken does not know.
        let tells =
            self.has_failed("close") || self.failed.iter().any(|site| site.ends_with("waker"));
        let interrupted = self.fault.is_none_or(|fault| fault.errno == "EINTR") && !tells;
        let innocent = interrupted || self.all_failed("accept4");
        if lost > self.failed.len() || innocent && lost > 0 {
            return Some(format!("{lost} clients were lost to {} failures", self.failed.len()));
        }
        if self.count(Fate::Late) > 0 && !lies && !packets {
            return Some("an answer came only after another word".into());
        }
        None
    }

    fn imbalance(&self) -> Option<String> {
        // Who cannot write cannot tell.
        let mute =
            self.failed.iter().any(|site| site.ends_with("console") || site.starts_with("clone"));
        if mute || self.may_be_deaf() {
            return None;
        }
        let Some(accounts) = Accounts::of_log(&self.played.log) else {
            return Some("it did not tell its counters".into());
        };
        let unbalanced = accounts.imbalance();
        let packets = matches!(self.kind, Kind::Udp | Kind::Unixgram);
        // A thread or a process that has a connection counts nothing.
        let away = matches!(self.kind, Kind::Threads | Kind::Processes);
        if unbalanced.is_some() || packets || away {
            return unbalanced;
        }
        let (taken, out) = (accounts.of("bytes_in"), accounts.of("bytes_out"));
        let all_served = self.count(Fate::Lost) == 0 && !self.has_failed("close");
        if all_served && !(taken == out && out == self.played.received) {
            return Some(format!("{taken} in, {out} out, {} received", self.played.received));
        }
        None
    }

    fn count(&self, fate: Fate) -> usize {
        self.played.fates.iter().filter(|one| **one == fate).count()
    }

    fn lasts(&self) -> bool {
        self.fault.is_some_and(Fault::lasts)
    }

    fn has_failed(&self, call: &str) -> bool {
        self.failed.iter().any(|site| site.starts_with(call))
    }

    fn all_failed(&self, call: &str) -> bool {
        self.failed.iter().all(|site| site.starts_with(call))
    }

    /// The word of a signal to the loop, or of a loop to the other, was itself failed, which no
    /// Linux does: then it may hear of no signal.
    fn may_be_deaf(&self) -> bool {
        let word = |site: &&str| site.contains("signals") || site.contains("waker");
        self.played.asked_twice && self.failed.iter().any(word)
    }
}
